"""The page as people use it: Chromium before the service as it runs and a real registry."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import random
import re
import signal
import tarfile
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from playwright.sync_api import Browser, FilePayload, Page, expect

from app.jobs import Job, JobState
from app.jobs.model import ArchiveSource, JobArchive
from app.jobs.store.sql import JOBS, SqlJobStore
from tests.browser.conftest import Watched, watch
from tests.e2e.service import Service, service
from tests.support.archives import docker_save, image, tagged
from tests.support.docker_registry import DockerRegistry

VENDOR = Path(__file__).parent / "vendor"
CORPUS = Path(__file__).parents[1] / "data" / "corpus"
AXE = (VENDOR / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
HOSTILE = "<img src=x onerror=alert(1)>\"'`${alert(1)}.tar"


def archive(name: str, size: int = 10) -> bytes:
    return docker_save([tagged(image({"bin/app": b"x" * size}, label=name), f"example.com/{name}")])


def chosen(page: Page, *files: tuple[str, bytes]) -> None:
    payloads: list[FilePayload] = [
        {"name": name, "mimeType": "application/x-tar", "buffer": body} for name, body in files
    ]
    page.set_input_files("#files", payloads)


def dropped(page: Page, name: str, body: bytes) -> None:
    page.evaluate(
        """([name, body]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(atob(body), (char) => char.charCodeAt(0))], name));
            document.getElementById("drop").dispatchEvent(
                new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: transfer}));
        }""",
        [name, base64.b64encode(body).decode()],
    )


def put(running: Service, asked: str, body: bytes) -> None:
    urlopen(Request(f"{running.url}/push/{asked}", body, method="PUT"), timeout=30).close()


def state(page: Page, name: str) -> None:
    expect(page.get_by_test_id("state")).to_have_attribute("data-state", name)


def opened(page: Page, name: str) -> None:
    """Open the job of this archive in the list of jobs."""
    page.goto("#/jobs")
    page.locator("#place-jobs .job", has_text=name).first.click()


def faults_of_access(page: Page) -> list[str]:
    """What axe-core finds, at WCAG 2.1 AA."""
    page.evaluate(AXE)
    run = "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
    found: dict[str, Any] = page.evaluate(run)
    return [f"{found_item['id']}: {found_item['nodes'][0]['html'][:200]}" for found_item in found["violations"]]


def test_archives_that_are_chosen_land_at_the_registry(
    tab: Watched, registry: DockerRegistry, screenshots: Path
) -> None:
    chosen(tab.page, ("a.tar", archive("browser/a:1")))
    dropped(tab.page, "b.tar", archive("browser/b:1"))
    for name in ("a.tar", "b.tar"):
        opened(tab.page, name)
        state(tab.page, "succeeded")
    expect(tab.page.locator("#jobs .job[data-state=succeeded]", has_text="a.tar")).to_be_visible()
    tab.page.get_by_test_id("pull").locator("summary").click()
    expect(tab.page.locator("code", has_text=f"docker pull {registry.address}/browser/b:1")).to_be_visible()
    with urlopen(f"{registry.url}/v2/browser/a/tags/list", timeout=30) as answer:
        assert json.load(answer)["tags"] == ["1"]
    tab.page.screenshot(path=screenshots / "light.png")
    assert faults_of_access(tab.page) == []
    address = tab.page.url
    tab.page.go_back()
    tab.page.go_back()
    expect(tab.page.locator("#detail-title")).to_have_text("a.tar")
    tab.page.goto(address)
    tab.page.reload()
    expect(tab.page.locator("#detail-title")).to_have_text("b.tar")


def test_what_is_skipped_has_not_landed_and_each_outcome_is_counted(tab: Watched, running: Service) -> None:
    def made(*names: str, content: str) -> bytes:
        samples = [tagged(image({"f": f"{content} {name}".encode()}), f"example.com/told/{name}:1") for name in names]
        return docker_save(samples)

    put(running, "first.tar?wait=30", made("old", "same", content="newer"))
    put(running, "skipped.tar?wait=30&on_existing_tag=skip", made("old", content="older"))
    mixed = docker_save(
        [
            tagged(image({"f": b"newer same"}), "example.com/told/same:1"),
            tagged(image({"f": b"older old"}), "example.com/told/old:1"),
            tagged(image({"f": b"new"}), "example.com/told/new:1"),
        ]
    )
    put(running, "mixed.tar?wait=30&on_existing_tag=skip", mixed)
    opened(tab.page, "skipped.tar")
    state(tab.page, "skipped")
    opened(tab.page, "mixed.tar")
    state(tab.page, "succeeded")
    outcome = "1 pushed, 1 already there, 1 skipped"
    expect(tab.page.locator("#detail-body .facts dd", has_text=outcome)).to_be_visible()
    expect(tab.page.locator("#jobs .job", has_text="mixed.tar").locator(".numbers").first).to_contain_text(outcome)


def test_a_look_inside_shows_picks_and_renames_before_anything_is_pushed(
    tab: Watched, registry: DockerRegistry, screenshots: Path
) -> None:
    two = docker_save([tagged(image({"f": name.encode()}), f"example.com/look/{name}:1") for name in ("one", "two")])
    tab.page.locator("[name=mode][value=look]").check()
    chosen(tab.page, ("look.tar", two))
    state(tab.page, "reviewed")
    expect(tab.page.get_by_test_id("destination").first).to_have_text(f"{registry.address}/look/one:1")
    tab.page.get_by_label("Push example.com/look/two:1").uncheck()
    tab.page.get_by_label("Another name for example.com/look/one:1").fill("renamed/one:2")
    tab.page.emulate_media(color_scheme="dark")
    tab.page.screenshot(path=screenshots / "dark.png")
    assert faults_of_access(tab.page) == []
    tab.page.get_by_test_id("push").click()
    state(tab.page, "succeeded")
    expect(tab.page.locator("#detail-body .image .name")).to_have_text([f"{registry.address}/renamed/one:2"])


def test_of_a_chosen_folder_every_archive_is_sent_and_nothing_that_is_hidden(tab: Watched, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    (folder / "deep" / "er").mkdir(parents=True)
    for name, file in {"one": "one.tar", "two": "deep/er/two.tar"}.items():
        (folder / file).write_bytes(docker_save([tagged(image({"f": name.encode()}), f"example.com/folder/{name}:1")]))
    (folder / ".DS_Store").write_bytes(b"hidden")
    (folder / "empty.tar").touch()
    (folder / "one.tar.sha256").write_text("of one.tar " * 100)
    (folder / "layout").mkdir()
    for name in ("oci-layout", "blob.gz"):
        (folder / "layout" / name).write_bytes(b"\x1f\x8b")
    tab.page.set_input_files("#folder", folder)
    for name in ("one.tar", "two.tar"):
        expect(tab.page.locator("#deliveries .job[data-state=succeeded]", has_text=name)).to_be_visible()
    expect(tab.page.get_by_text("DS_Store")).to_have_count(0)
    left_out = tab.page.locator("#send-note")
    expect(left_out).to_contain_text("empty.tar (empty)")
    expect(left_out).to_contain_text("one.tar.sha256 (no archive)")
    expect(left_out).to_contain_text("disk/layout/ (an unpacked image: put it into a tar first)")
    for name in ("empty.tar", "sha256", "blob.gz"):
        expect(tab.page.locator("#deliveries .job", has_text=name)).to_have_count(0)


RECORD_WHAT_IS_KEPT = """() => {
    const set = Storage.prototype.setItem;
    window.kept = [];
    Storage.prototype.setItem = function (key, value) {
        if (key === "tarmac-held") window.kept.push(JSON.parse(value));
        set.call(this, key, value);
    };
}"""


def test_a_look_that_is_over_at_once_is_still_known_to_be_of_an_archive_that_is_held(tab: Watched) -> None:
    """A job that is seen to have ended stops its upload: what is known of it only after that is never known."""
    tab.page.evaluate(RECORD_WHAT_IS_KEPT)
    tab.page.locator("[name=mode][value=look]").check()
    chosen(tab.page, ("at-once.tar", docker_save([tagged(image({"f": b"once"}), "example.com/look/once:1")])))
    state(tab.page, "reviewed")
    assert all(tab.page.evaluate("() => window.kept.map((held) => Object.values(held).length)"))


def test_what_an_archive_brings_along_of_attestations_is_shown(tab: Watched) -> None:
    attested = CORPUS / "skopeo1222-oci-attest.tar"
    tab.page.locator("[name=mode][value=look]").check()
    chosen(tab.page, ("attested.tar", attested.read_bytes()))
    state(tab.page, "reviewed")
    expect(tab.page.get_by_text("2 attestations (linux/amd64, linux/arm64)")).to_be_visible()


async def fill(folder: Path, count: int) -> None:
    """With jobs that have ended, written as one transaction."""
    store = await SqlJobStore.open(f"sqlite:///{folder / 'jobs.sqlite'}")
    began = datetime.now(UTC) - timedelta(hours=3)
    async with store.transaction() as connection:
        rows = []
        for number in range(count):
            at = began + timedelta(seconds=number)
            job = (
                Job.new(JobState.QUEUED, at)
                .transition_to(JobState.RUNNING)
                .transition_to(JobState.SUCCEEDED, finished_at=at)
            )
            named = replace(job, archives=(JobArchive(f"{number:04}.tar", ArchiveSource.UPLOAD, 1000),))
            rows.append({**store._row(named), "home": "", "place": ""})
        await connection.execute(JOBS.insert(), rows)
    await store.close()


def test_ten_thousand_jobs_are_no_more_work_than_a_page_of_them(browser: Browser, tmp_path: Path) -> None:
    filling = threading.Thread(target=lambda: asyncio.run(fill(tmp_path, 10_000)))  # a loop runs in this one
    filling.start()
    filling.join()
    with service(tmp_path) as running:
        context = browser.new_context(viewport={"width": 1360, "height": 900})
        page = watch(context, running).page
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if "/jobs?" in request.url else None)
        page.goto(f"{running.url}/#/jobs")
        rows = page.locator("#jobs .job")
        expect(rows).to_have_count(50)
        expect(rows.first).to_contain_text("9999.tar")
        assert len(asked) <= 4, "a page of the list is one request, and one for the jobs in progress"
        for number in (9949, 9899):
            page.locator("#older").click()
            expect(rows.first).to_contain_text(f"{number}.tar")
        expect(rows).to_have_count(50)
        page.locator("#newer").click()
        expect(rows.first).to_contain_text("9949.tar")
        page.locator("#newer").click()
        expect(rows.first).to_contain_text("9999.tar")
        put(running, "new.tar?wait=20", archive("browser/new:1"))
        expect(rows.first).to_contain_text("new.tar")
        expect(rows).to_have_count(50)
        page.locator("#jobs-filter [name=q]").fill("new.tar")
        expect(rows).to_have_count(1)
        page.reload()
        expect(rows).to_have_count(1)
        context.close()


def test_what_is_wrong_is_told_with_what_to_do(tab: Watched, screenshots: Path) -> None:
    tab.page.set_viewport_size({"width": 390, "height": 844})
    chosen(tab.page, ("bad.tar", (CORPUS / "bad-digest.tar").read_bytes()))
    state(tab.page, "failed")
    expect(tab.page.locator("#detail-body .note.bad")).to_contain_text("this copy is damaged")
    tab.page.screenshot(path=screenshots / "narrow.png", full_page=True)
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert faults_of_access(tab.page) == []
    expect(tab.page.get_by_test_id("retry")).to_have_count(0)  # no archive is left to try again with
    address = tab.page.url
    tab.page.get_by_test_id("delete").click()
    tab.page.keyboard.press("Escape")
    expect(tab.page).to_have_url(address)
    tab.page.get_by_test_id("delete").click()
    tab.page.locator("#confirm-yes").click()
    expect(tab.page).to_have_url(re.compile("#/jobs$"))
    expect(tab.page.locator(".job", has_text="bad.tar")).to_have_count(0)


def test_what_failed_can_be_tried_again(tab: Watched, running: Service) -> None:
    for asked, size in (("first.tar?wait=20", 10), ("second.tar?on_existing_tag=error", 20)):
        put(running, asked, archive("browser/taken:1", size))
    opened(tab.page, "second.tar")
    state(tab.page, "failed")
    tab.page.get_by_test_id("retry").click()
    expect(tab.page.locator("#detail-body")).to_contain_text("attempt 2")
    state(tab.page, "failed")


def test_an_upload_can_be_cancelled_on_its_way(tab: Watched) -> None:
    network = tab.page.context.new_cdp_session(tab.page)
    network.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 1_000_000}
    network.send("Network.emulateNetworkConditions", slow)
    chosen(tab.page, ("slow.tar", archive("browser/slow:1", 8_000_000)))
    state(tab.page, "receiving")
    tab.page.locator("#places [data-place=deliveries]").click()
    tab.page.locator("#uploads .upload button").last.click()
    expect(tab.page.locator("#pick-files")).to_be_focused()
    opened(tab.page, "slow.tar")
    state(tab.page, "cancelled")
    chosen(tab.page, ("other.tar", archive("browser/other:1", 8_000_000)))
    expect(tab.page.locator("#detail-title")).to_have_text("other.tar")
    state(tab.page, "receiving")
    tab.page.get_by_test_id("cancel").click()
    state(tab.page, "cancelled")
    expect(tab.page.locator("#uploads .upload")).to_have_count(0)
    expect(tab.page.locator("#jobs .job", has_text="other.tar")).to_have_count(1)


def test_each_blob_on_its_way_has_a_bar(browser: Browser, registry: DockerRegistry, tmp_path: Path) -> None:
    slow = {"TARMAC_REGISTRY_URL": registry.url, "TARMAC_REGISTRY_MAX_BYTES_PER_SECOND": "250KB"}
    with service(tmp_path, **slow) as running:
        page = watch(browser.new_context(), running).page
        page.goto(f"{running.url}/")
        noise = random.Random(1).randbytes(8_000_000)
        chosen(page, ("bars.tar", docker_save([tagged(image({"f": noise}), "example.com/browser/bars:1")])))
        blob = page.locator("#detail-body .blob")
        expect(blob).to_have_count(1)
        expect(blob).to_contain_text(re.compile(r"^browser/bars  ·  sha256:[0-9a-f]{12}  ·  .* of 8.* MB$"))
        assert faults_of_access(page) == []
        page.get_by_test_id("cancel").click()
        state(page, "cancelled")
        expect(blob).to_have_count(0)


def test_an_upload_goes_on_after_the_service_was_killed(browser: Browser, tmp_path: Path) -> None:
    whole = archive("browser/resumed:1", 6_000_000)
    with service(tmp_path) as first:
        context = browser.new_context()
        watched = watch(context, first)
        watched.page.goto(f"{first.url}/")
        network = context.new_cdp_session(watched.page)
        network.send("Network.enable")
        speed = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 2_000_000}
        network.send("Network.emulateNetworkConditions", speed)
        chosen(watched.page, ("resumed.tar", whole))
        expect(watched.page.locator("#place-jobs .job .numbers").first).to_contain_text(" MB of ")
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(30)
        network.send("Network.emulateNetworkConditions", speed | {"uploadThroughput": -1})
        port = first.address.rpartition(":")[2]
        with service(tmp_path, TARMAC_PORT=port) as second:
            state(watched.page, "succeeded")
            with urlopen(f"{second.url}/jobs", timeout=30) as answer:
                job = json.load(answer)["jobs"][0]
        assert job["archives"][0]["digest"] == f"sha256:{hashlib.sha256(whole).hexdigest()}"
        assert watched.foreign == []
        context.close()


def test_names_from_outside_are_shown_and_never_run(tab: Watched) -> None:
    stranger = io.BytesIO()
    with tarfile.open(fileobj=stranger, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("<script>alert(1)</script>"))
    chosen(tab.page, (HOSTILE, stranger.getvalue()))
    expect(tab.page.locator("#place-jobs .job .name", has_text=HOSTILE).first).to_be_visible()
    expect(tab.page.locator("#detail-title")).to_have_text(HOSTILE)
    expect(tab.page.locator("#detail-body .note.bad")).to_contain_text("<script>")
    expect(tab.page.locator("img[src=x], main script")).to_have_count(0)


def test_the_keyboard_is_enough(tab: Watched, running: Service) -> None:
    put(running, "keys.tar", archive("browser/keys:1"))
    page = tab.page
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("/")
    search = page.locator("#jobs-filter [name=q]")
    expect(search).to_be_focused()
    page.keyboard.type("keys.tar")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"#/jobs\?q=keys.tar$"))
    expect(page.locator("#jobs .job")).to_have_count(1)
    page.keyboard.press("j")
    expect(page.locator("#jobs .job").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#detail")).to_be_focused()
    expect(page.locator("#detail-title")).to_have_text("keys.tar")
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile(r"#/jobs\?q=keys.tar$"))
    page.locator("#token-button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#token")).to_be_focused()
    page.keyboard.type("secret")
    page.keyboard.press("Enter")
    page.wait_for_function("sessionStorage.getItem('tarmac-token') === 'secret'")
    assert page.evaluate("Object.keys(localStorage).length") == 0


def test_the_vendored_files_are_those_that_are_written_down() -> None:
    written = dict(re.findall(r"\| `([^`]+)` \| `([0-9a-f]{64})` \|", (VENDOR / "VENDOR.md").read_text()))
    found = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "VENDOR.md"
    }
    assert found == written
