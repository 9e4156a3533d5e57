"""What an operator runs into: names that are missing, windows side by side, tokens, registries that are away."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Watched, watch
from tests.browser.test_page import archive, chosen, faults_of_access, state
from tests.e2e.service import service
from tests.support.archives import docker_save, entry, image, oci_image, oci_layout, tagged
from tests.support.docker_registry import DockerRegistry

SEEN_AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"  # instead of waiting for the next look


def slowed(page: Page, rate: int = 1_000_000) -> None:
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    speed = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate}
    network.send("Network.emulateNetworkConditions", speed)


def landed(page: Page, registry: DockerRegistry, *names: str) -> None:
    state(page, "succeeded")
    expect(page.get_by_test_id("place")).to_have_text([f"{registry.address}/{name}" for name in names])


def test_a_name_for_a_single_image_is_for_the_next_archive_alone(tab: Watched) -> None:
    """Left standing, it would put the next archive under the name of this one."""
    tab.page.locator("#options-details summary").click()
    name = tab.page.locator("[name=tag]")
    name.fill("team/app:1.2")
    chosen(tab.page, ("one-of-two.tar", archive("browser/one:1")), ("two-of-two.tar", archive("browser/two:1")))
    expect(tab.page.locator("#send-note")).to_be_visible()
    chosen(tab.page, ("alone.tar", archive("browser/alone:1")))
    state(tab.page, "succeeded")
    expect(tab.page.locator("#detail-body .image .name")).to_contain_text("/team/app:1.2")
    expect(name).to_have_value("")
    expect(tab.page.get_by_text("-of-two.tar")).to_have_count(0)
    assert faults_of_access(tab.page) == []


def test_what_was_looked_at_is_pushed_as_it_was_shown_and_after_the_page_was_closed(
    tab: Watched, registry: DockerRegistry
) -> None:
    first = tab.page
    first.locator("[name=mode][value=look]").check()
    first.locator("#options-details summary").click()
    first.locator("[name=prefix]").fill("mirror")
    chosen(first, ("kept.tar", archive("browser/kept:1")))
    state(first, "reviewed")
    second = first.context.new_page()
    second.goto(first.url)
    expect(second.get_by_test_id("destination")).to_have_text(f"{registry.address}/mirror/browser/kept:1")
    second.locator("[name=prefix]").evaluate("field => { field.value = 'elsewhere'; }")
    second.get_by_test_id("push").click()
    state(second, "succeeded")
    expect(second.locator("#detail-body .image .name")).to_have_text(f"{registry.address}/mirror/browser/kept:1")
    second.go_back()
    state(second, "reviewed")


def test_an_archive_without_a_name_is_named_on_the_page(tab: Watched, registry: DockerRegistry) -> None:
    """Also where several have none, beside one that has."""
    page = tab.page
    page.locator("[name=mode][value=look]").check()
    without = [entry(oci_image(image({"f": name}))) for name in (b"one", b"two")]
    chosen(page, ("nameless.tar", oci_layout([*without, entry(oci_image(image({"f": b"3"})), ref="named/already:1")])))
    fields = page.get_by_label("Another name for sha256")
    expect(fields).to_have_count(2)
    for number in (0, 1):
        fields.nth(number).fill(f"named/here:{number}")
    page.get_by_test_id("review-again").click()
    page.get_by_test_id("push").click()
    landed(page, registry, "named/here:0", "named/here:1", "named/already:1")


def test_of_what_is_picked_all_names_land_or_the_new_one_and_nothing_that_was_left_out(
    tab: Watched, registry: DockerRegistry
) -> None:
    """The second look shows what was picked alone; what it does not show must not be pushed with it."""
    page = tab.page
    page.locator("[name=mode][value=look]").check()
    tags = {"one": ("names/one:1", "names/one:2"), "two": ("names/two:1", "names/two:2"), "three": ("names/three:1",)}
    chosen(page, ("names.tar", docker_save([tagged(image({"f": f.encode()}), *names) for f, names in tags.items()])))
    page.get_by_label("Another name for names/one:1").fill("new/one:9")
    page.get_by_label("Push names/three:1").uncheck()
    page.get_by_test_id("review-again").click()
    page.get_by_test_id("push").click()
    landed(page, registry, "new/one:9", "names/two:1", "names/two:2")


def test_the_whole_images_of_a_damaged_archive_are_looked_at_and_pushed(tab: Watched, registry: DockerRegistry) -> None:
    page = tab.page
    good, bad = [oci_image(image({"f": name})) for name in (b"good", b"bad")]
    entries = [entry(good, ref="damaged/good:1"), entry(bad, ref="damaged/bad:1")]
    page.locator("[name=mode][value=look]").check()
    page.locator("#options-details summary").click()
    page.locator("[name=keep_going]").check()
    chosen(page, ("damaged.tar", oci_layout(entries, without=list(bad.blobs)[1:])))
    expect(page.get_by_test_id("pick").nth(0)).to_be_checked()
    expect(page.get_by_test_id("pick").nth(1)).not_to_be_checked()
    expect(page.get_by_test_id("review").locator("td .problem")).to_have_count(1)
    assert faults_of_access(page) == []
    page.get_by_test_id("push").click()
    landed(page, registry, "damaged/good:1")


def test_one_upload_in_two_windows_goes_on_in_the_newer_one(tab: Watched, tmp_path: Path) -> None:
    file = tmp_path / "twice.tar"
    file.write_bytes(archive("browser/twice:1", 8_000_000))
    slowed(tab.page)
    tab.page.set_input_files("#files", file)
    state(tab.page, "receiving")
    tab.page.set_input_files("#files", file)
    expect(tab.page.locator("#send-note")).to_contain_text("already")
    other = tab.page.context.new_page()
    other.goto("/")
    slowed(other)
    other.set_input_files("#files", file)
    expect(tab.page.locator("#uploads .upload")).to_contain_text("in another window")
    state(other, "receiving")
    other.get_by_test_id("cancel").click()
    state(tab.page, "cancelled")
    tab.page.evaluate(SEEN_AGAIN)
    expect(tab.page.locator("#uploads .upload")).to_have_count(0)


def test_a_token_is_asked_for_and_another_one_can_be_given(browser: Browser, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    lines = [f"{role}er:{hashlib.sha256(role.encode()).hexdigest()}:{role}" for role in ("read", "push")]
    tokens.write_text("\n".join(lines), encoding="utf-8")
    with service(tmp_path / "data", TARMAC_TOKENS_FILE=str(tokens)) as running:
        page = watch(browser.new_context(), running).page
        page.goto(f"{running.url}/")
        expect(page.locator("#token")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#connection")).to_contain_text("This service needs a token.")
        given(page, "wrong")
        expect(page.locator("#connection")).to_contain_text("does not know this token")
        given(page, "read")
        expect(page.locator("#connection")).to_be_hidden()
        chosen(page, ("guarded.tar", archive("browser/guarded:1")))
        expect(page.locator("#uploads .upload")).to_contain_text("may only read")
        given(page, "push")
        page.get_by_role("button", name="Try again").click()
        state(page, "succeeded")
        page.get_by_test_id("pull").locator("summary").click()
        expect(page.locator("code", has_text="skopeo")).to_contain_text(
            f"--src-tls-verify=false docker://{running.address}/"
        )
        page.context.close()


def given(page: Page, token: str) -> None:
    page.locator("#token-button").click()
    page.locator("#token").fill(token)
    page.keyboard.press("Enter")


def test_that_a_registry_is_away_is_told_until_it_is_back(tab: Watched, registry: DockerRegistry) -> None:
    away = {"name": "default", "url": registry.url, "reachable": False, "problem": {"title": "It is away"}}
    tab.page.route("**/registries", lambda route: route.fulfill(body=json.dumps({"registries": [away]})))
    tab.page.evaluate(SEEN_AGAIN)
    expect(tab.page.locator("#registry-state")).to_contain_text(f"{registry.url}: It is away")
    tab.page.unroute("**/registries")
    tab.page.evaluate(SEEN_AGAIN)
    expect(tab.page.locator("#registry-state")).to_have_text(f"to {registry.address}")


def test_what_is_copied_without_the_clipboard_api_leaves_the_keyboard_where_it_is(tab: Watched) -> None:
    """Stations are reached by http and a name: there navigator.clipboard is not."""
    tab.page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    tab.page.locator("details.curl summary").first.click()
    copy = tab.page.locator("#send-curl button")
    copy.focus()
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#announcer")).to_have_text("Copied")
    expect(copy).to_be_focused()
