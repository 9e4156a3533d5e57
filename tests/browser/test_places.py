"""The places of the console: deliveries, images, registries, activity; languages, sizes and addresses."""

from __future__ import annotations

import hashlib
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.conftest import Watched, watch
from tests.browser.test_page import archive, chosen, faults_of_access, state
from tests.e2e.service import service
from tests.support.archives import docker_save, image, tagged
from tests.support.docker_registry import DockerRegistry

PLACES = ("deliveries", "jobs", "images", "registries", "activity")


def test_each_place_has_an_address_and_no_fault_of_access(browser: Browser, tmp_path: Path) -> None:
    with service(tmp_path) as running:
        context = browser.new_context(viewport={"width": 1920, "height": 1000}, locale="de-DE")
        tab = watch(context, running)
        page = tab.page
        page.goto(f"{running.url}/")
        expect(page.locator("html")).to_have_attribute("lang", "de")
        chosen(page, ("stored.tar", archive("places/stored:1")))
        state(page, "succeeded")
        for place in PLACES:
            page.goto(f"{running.url}/#/{place}")
            page.reload()
            expect(page.locator(f"#place-{place}")).to_be_visible()
            expect(page.locator(f"#places [data-place={place}]")).to_have_attribute("aria-current", "page")
            for scheme, width in (("light", 1920), ("dark", 390)):
                page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                page.set_viewport_size({"width": width, "height": 900})
                assert faults_of_access(page) == [], (place, scheme)
                assert page.evaluate("document.documentElement.scrollWidth") <= width, place
        page.set_viewport_size({"width": 1360, "height": 900})
        expect(page.get_by_test_id("entry")).to_have_count(1)
        page.goto(f"{running.url}/#/registries")
        expect(page.get_by_test_id("registry")).to_have_count(1)
        page.locator("#language-button").click()
        expect(page.locator("html")).to_have_attribute("lang", "en")
        page.goto(f"{running.url}/#/images?q=stored")
        expect(page.get_by_test_id("image")).to_have_count(1)
        page.get_by_test_id("image").locator("button.danger").click()
        page.locator("#confirm-yes").click()
        expect(page.get_by_test_id("image")).to_have_count(0)
        assert tab.faults() == []
        context.close()


def test_a_folder_is_one_delivery_with_joined_parts_and_checksums(
    tab: Watched, registry: DockerRegistry, tmp_path: Path
) -> None:
    disk = tmp_path / "disk 7"
    (disk / "deep").mkdir(parents=True)
    whole = archive("disk/split:1", 3000)
    for number in range(3):
        part = len(whole) // 3 + 1
        (disk / "deep" / f"split.tar.00{number}").write_bytes(whole[number * part : (number + 1) * part])
    good, other = archive("disk/good:1"), archive("disk/other:1")
    (disk / "good.tar").write_bytes(good)
    (disk / "wrong.tar").write_bytes(other)
    sums = f"{hashlib.sha256(good).hexdigest()}  good.tar\n{hashlib.sha256(good).hexdigest()} *wrong.tar\n"
    (disk / "SHA256SUMS").write_text(sums)
    (disk / "manual.pdf").write_text("no archive " * 100)
    (disk / "unnamed.tar").write_bytes(docker_save([tagged(image({"f": b"unnamed"}))]))
    page = tab.page
    page.set_input_files("#folder", disk)
    rows = page.locator("#deliveries .job")
    for name, outcome in {"split": "succeeded", "good": "succeeded", "wrong": "failed", "unnamed": "failed"}.items():
        expect(rows.filter(has_text=f"{name}.tar").and_(page.locator(f"[data-state={outcome}]"))).to_have_count(1)
    expect(rows).to_have_count(4)
    assert faults_of_access(page) == []
    form = page.get_by_test_id("naming")
    expect(form).to_have_count(1)
    form.locator("input").fill("disk/named:1")
    form.locator("button").click()
    expect(rows.filter(has_text="unnamed.tar").and_(page.locator("[data-state=succeeded]"))).to_have_count(1)
    page.reload()
    expect(rows).to_have_count(4)
    report = page.context.request.get(
        f"{page.url.partition('#')[0]}{page.locator('a.button').last.get_attribute('href')}"
    )
    outcomes = {row["path"].rpartition("/")[2]: row["outcome"] for row in report.json()["rows"]}
    assert outcomes == {
        "split.tar": "pushed", "good.tar": "pushed", "unnamed.tar": "pushed", "wrong.tar": "failed",
        "SHA256SUMS": "left_out", "manual.pdf": "left_out",
    }  # fmt: skip
    page.get_by_test_id("delete-delivery").click()
    page.locator("#confirm-yes").click()
    expect(page.locator(f"#deliveries .job[href='#/deliveries/{page.url.rpartition('/')[2]}']")).to_have_count(0)
    expect(page.get_by_test_id("delete-delivery")).to_have_count(0)
