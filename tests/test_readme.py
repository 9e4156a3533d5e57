"""README.md and the guide say what the code does: nothing is missing, and nothing is documented that does not exist."""

from __future__ import annotations

import argparse
import gzip
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from app import docs
from app.api.middleware.access_log import MAX_ERROR_LINES
from app.api.middleware.limits import (
    LEAST_BYTES_PER_SECOND,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MOST,
    RATE_SECONDS,
    STALL_SECONDS,
    LongRequest,
)
from app.api.problems import error_classes, status_by_code
from app.api.requests.options import MAX_WAIT_SECONDS, OPTIONS, REPEATABLE
from app.api.routes.jobs import MAX_LIMIT
from app.archive import Archive
from app.archive.compression import ZSTD_WINDOW_LOG
from app.archive.formats import FORMATS
from app.archive.model import DEFAULT_LIMITS, DockerImage, Extent, ImageEntry
from app.cli.parser import parse
from app.cli.send import VARIABLES
from app.config.settings import RegistrySettings, Settings, load_settings
from app.docs import INDEX, pages
from app.jobs import JobState
from app.jobs.audit import MAX_ENTRIES
from app.jobs.bounds import MAX_NOTICE, MAX_NOTICES
from app.jobs.deliveries import service as deliveries
from app.jobs.listing.pages import MAX_PAGE_BYTES
from app.jobs.model import MAX_IMAGES, MAX_IMAGES_BYTES, ArchiveSource, Job, utc_now
from app.jobs.request import MAX_LABELS
from app.jobs.resumable import EMPTY_LIFETIME, LIFETIME
from app.jobs.resumable.service import MAX_PARTS, MAX_PUSHES, MAX_UPLOADS
from app.jobs.sources.paths import MAX_FILES
from app.jobs.store.audit import PAGE_BYTES
from app.net.urls import parse_registry_url
from app.oci import Descriptor, Digest
from app.push import Destination, ImageState, PushOptions, make_plan
from app.push.options import MAX_VALUES
from app.server.connections import HANDSHAKE_SECONDS, MAX_HANDSHAKES, SHARE_OF_ONE
from app.server.protocol import (
    HEAD_SECONDS,
    MAX_CONNECTIONS,
    MAX_HEADS_BYTES,
    MAX_PIPELINED,
    MAX_TLS_CONNECTIONS,
    UNREAD_SECONDS,
)
from tests.e2e.service import Service, curl, service
from tests.support.peers import ASKED

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
FIRST_SCREEN = 40  # lines
MAX_LINES = 200
ALL = "\n".join([TEXT, *(page.text for page in pages().values())])
CORPUS = ROOT / "tests" / "data" / "corpus"


def section(title: str) -> str:
    """Return a section of README.md, from its heading to the next one of the second level."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[2]


def page(name: str) -> str:
    return pages()[name].text


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose first heading is `first`."""
    found = re.search(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, first
    return [[cell.strip() for cell in line.strip("|\n").split(" |")] for line in found[1].splitlines()]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def names(text: str, first: str) -> list[str]:
    return [code for row in rows(text, first) for code in codes(row[0])]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_the_first_screen_ends_with_the_image_pulled_back() -> None:
    first = "\n".join(TEXT.splitlines()[:FIRST_SCREEN])
    for words in ("make run", "make test", "curl -F archive=@x.tar", "docker pull", "skopeo copy", "crane pull"):
        assert words in first


def test_every_option_is_told_and_no_other() -> None:
    table = rows(page("options"), "option")
    assert [codes(row[0])[0] for row in table] == list(OPTIONS)
    assert {codes(row[0])[0] for row in table if "Repeatable" in row[2]} == REPEATABLE


def test_every_value_of_an_option_that_has_a_choice_is_taken() -> None:
    for row in rows(page("options"), "option"):
        name = codes(row[0])[0]
        if name in ("on_existing_tag", "layer_compression", "media_types", "dry_run", "allow_missing", "verify"):
            for value in codes(row[1]):
                PushOptions.parse({name: [value]})


def test_every_format_is_told_and_no_other() -> None:
    text = page("formats")
    formats = {format_.name for format_ in FORMATS}
    assert set(names(text, "format")) == formats
    assert {code for row in rows(text, "made with") for code in codes(row[1])} <= formats


def test_every_setting_is_told_and_no_other() -> None:
    told = {row[0]: row for row in rows(page("configuration"), "environment")}
    own = {
        f"`TARMAC_{name.upper()}`": name for name in Settings.model_fields if name not in {"registries", "signatures"}
    }
    assert set(told) == {*own, "`TARMAC_CONFIG`"}
    assert all(codes(told[variable][1]) == [name] for variable, name in own.items())


def test_what_is_said_to_hold_without_a_setting_holds() -> None:
    environ = {}
    for row in rows(page("configuration"), "environment"):
        stated = codes(row[2])
        if stated:
            environ[codes(row[0])[0]] = stated[0]
    assert len(environ) > 5
    assert load_settings(environ=environ) == load_settings(environ={})


def test_every_setting_of_a_registry_is_told_and_no_other() -> None:
    table = re.findall(r"^\| `TARMAC_REGISTRY_([A-Z_]+)` \| `([a-z_]+)` \|", page("configuration"), re.MULTILINE)
    assert [name.lower() for name, _ in table] == [key for _, key in table]
    assert {key for _, key in table} == set(RegistrySettings.model_fields)


def test_no_variable_is_named_that_does_not_exist() -> None:
    known = {f"TARMAC_{name.upper()}" for name in Settings.model_fields if name not in {"registries", "signatures"}}
    known |= {f"TARMAC_REGISTRY_{name.upper()}" for name in RegistrySettings.model_fields}
    assert set(re.findall(r"TARMAC_[A-Z_]+", ALL)) <= known | {"TARMAC_CONFIG", ASKED, *VARIABLES}


def test_the_example_of_a_settings_file_is_taken(tmp_path: Path) -> None:
    text = blocks(page("configuration"), "toml")[0]
    for number, place in enumerate(re.findall(r'"(/(?:etc|data|var)[^"]*)"', text)):
        there = tmp_path / f"{number}-{Path(place).name}"
        there.touch() if "." in place or "password" in place else there.mkdir()
        text = text.replace(f'"{place}"', f'"{there}"')
    (tmp_path / "tarmac.toml").write_text(text, encoding="utf-8")
    settings = load_settings(tmp_path / "tarmac.toml", environ={})
    assert set(settings.registries) == {"default", "edge"}


def test_every_error_code_is_told_with_its_status_and_no_other() -> None:
    retryable = {leaf.code: leaf.retryable for leaf in error_classes() if leaf.__module__ == "app.errors"}
    told = {}
    for row in rows(page("errors"), "code"):
        told[codes(row[0])[0]] = (int(row[1].split()[0]), "↻" in row[1])
        assert all(row[2:4])
    assert told == {code: (int(status), retryable[code]) for code, status in status_by_code().items()}


def test_every_operation_of_the_api_is_listed_with_its_request_and_no_other() -> None:
    described = json.loads((ROOT / "openapi" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    expected = {
        operation["operationId"]: f"{method.upper()} {path}"
        for path, item in described.items()
        for method, operation in item.items()
        if "operationId" in operation
    }
    assert {codes(row[0])[0]: codes(row[1])[0] for row in rows(page("api"), "operation")} == expected


def test_every_state_is_told_and_no_other() -> None:
    assert set(names(page("jobs"), "state of the job")) == {state.value for state in JobState}
    assert set(names(page("jobs"), "state of an image")) == {state.value for state in ImageState}
    assert all(f"`{source.value}`" in page("jobs") for source in ArchiveSource)


def test_every_member_of_the_job_document_is_told() -> None:
    document = Job.new(JobState.QUEUED, utc_now()).document()
    for member in {
        *document["progress"],
        "archives[]",
        "images[]",
        "blobs_under_way[]",
        "notices[]",
        "problem",
        "attempt",
    }:
        assert f"`{member}`" in page("jobs")


def test_every_flag_of_the_command_line_is_told_and_no_other() -> None:
    told: dict[str, set[str]] = {}
    for row in rows(page("cli"), "flag"):
        for flag in codes(row[0]):
            told[flag] = set(codes(row[1]))
    existing: dict[str, set[str]] = {}
    for command, parser in commands().items():
        for action in parser._actions:
            for flag in (string for string in action.option_strings if string.startswith("--")):
                existing.setdefault(flag, set()).add(command)
    assert set(told) == set(existing)
    assert {flag: of for flag, of in told.items() if of != {"tarmac"} and flag != "--help"} == {
        flag: of for flag, of in existing.items() if of != {"tarmac"} and flag != "--help"
    }


def test_every_command_is_shown() -> None:
    shown = set(re.findall(r"^(?:.*\| )?tarmac ([a-z]+)", blocks(page("cli"), "sh")[0], re.MULTILINE))
    assert shown == set(commands()) - {"tarmac", "openapi"}


def commands() -> Mapping[str, argparse.ArgumentParser]:
    """Every parser by the name of its command."""
    seen: list[argparse.ArgumentParser] = []

    def keep(self: argparse.ArgumentParser, *_: object) -> argparse.Namespace:
        seen.append(self)
        return argparse.Namespace()

    with patch.object(argparse.ArgumentParser, "parse_args", keep):
        parse([])
    found = {"tarmac": seen[0]}
    for action in seen[0]._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= action.choices
    return found


def test_every_make_target_is_told_and_no_other() -> None:
    told = {codes(row[0])[0].removeprefix("make ") for row in rows(section("Development"), "command")}
    assert told == targets()
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", ALL, re.MULTILINE)) <= targets()


def test_limits_are_what_the_code_has() -> None:
    table = {row[0]: row[1] for row in rows(page("limits"), "what")}
    limits = DEFAULT_LIMITS
    expected = {
        "body of a request": f"`TARMAC_MAX_UPLOAD_BYTES`, {Settings().max_upload_bytes >> 30} GiB if not set",
        "an archive unpacked": f"{limits.unpacked_bytes >> 30} GiB, and {limits.ratio} times its wrapped size",
        "window of zstd, dictionary of xz": f"{(1 << ZSTD_WINDOW_LOG) >> 20} MiB: `xz -9` and `zstd --ultra -21` are "
        "read, `zstd --long` (128 MiB) is refused",
        "members of an archive": f"{limits.members:,}",
        "manifests of an archive": f"{limits.nodes:,} of together {limits.manifests_bytes >> 20} MiB; "
        f"indexes {limits.depth} deep",
        "one image config": f"{limits.config_bytes >> 20} MiB",
        "`manifest.json` of a docker archive": f"{limits.docker_manifest_bytes >> 20} MiB",
        "names of one image": f"{limits.tags:,}",
        "names of all images of an archive": f"{limits.names:,} of together {limits.names_bytes >> 20} MiB",
        "files of one request by `paths`": f"{MAX_FILES:,}",
        "values of `rename` and `images`": f"{MAX_VALUES:,} each",
        "labels of a job": f"{MAX_LABELS}",
        "`wait`": f"{MAX_WAIT_SECONDS:,} seconds",
        "page of `GET /jobs`": f"{MAX_LIMIT} jobs, or {MAX_PAGE_BYTES >> 20} MiB",
        "page of `GET /jobs/{id}/images`, and images in a job document": f"{MAX_IMAGES:,} images, or "
        f"{MAX_IMAGES_BYTES >> 20} MiB",
        "notices of a job": f"{MAX_NOTICES}, each of {MAX_NOTICE:,} characters",
        "page of `GET /audit`": f"{MAX_ENTRIES} entries, or {PAGE_BYTES >> 20} MiB",
        "uploads at `/uploads`: under way, parts, held archives": f"{MAX_UPLOADS:,}, of one token half of what the "
        f"others leave; each kept for {LIFETIME.days * 24} hours after its last byte, without a byte for "
        + "an hour"
        * (timedelta(hours=1) == EMPTY_LIFETIME),
        "parts of a concatenation, and pushes of one held archive": f"{MAX_PARTS} each" * (MAX_PARTS == MAX_PUSHES),
        "files that a delivery lists, and jobs of one retry or delete": f"{deliveries.MAX_LISTED:,} each"
        * (deliveries.MAX_LISTED == deliveries.MAX_JOBS),
        "page of `GET /deliveries`": f"{deliveries.MAX_PAGE} deliveries",
        "a search in the guide": f"{docs.MAX_QUERY_CHARACTERS} characters, {docs.MAX_WORDS} words",
        "log lines of refused requests": f"{MAX_ERROR_LINES} a second",
        "an upload without a byte": f"{STALL_SECONDS:.0f} seconds",
        f"an upload below {LEAST_BYTES_PER_SECOND >> 10} KiB a second": f"{RATE_SECONDS:.0f} seconds of waiting for it",
        "the head of a request": f"{HEAD_SECONDS:.0f} seconds, {MAX_HEAD_BYTES >> 10} KiB and {MAX_HEADERS} headers; "
        f"all that come in at once {MAX_HEADS_BYTES >> 20} MiB",
        "requests behind another on one connection": f"{MAX_PIPELINED}",
        "TLS handshakes under way": f"{MAX_HANDSHAKES}, each {HANDSHAKE_SECONDS:.0f} seconds",
        "an answer that is not read": f"{UNREAD_SECONDS:.0f} seconds",
        "connections": f"{MAX_CONNECTIONS:,} ({MAX_TLS_CONNECTIONS:,} with TLS), or half the files that the process "
        "may open; a quarter of them of one "
        "address (of IPv6 a /64), `TARMAC_TRUSTED_PROXIES` apart" * (SHARE_OF_ONE == 4),
        "uploads and readers of events at once": f"{MOST[LongRequest.UPLOADS]:,} each"
        * (MOST[LongRequest.UPLOADS] == MOST[LongRequest.WATCHERS]),
    }
    assert table == expected


NAMES = rows(page("naming"), "the archive says")


@pytest.mark.parametrize("row", NAMES, ids=[f"{row[0]} {row[1]} {row[2]}" for row in NAMES])
def test_an_example_of_naming_holds(row: list[str]) -> None:
    name, options, registry, lands = (codes(cell) for cell in row)
    image = ImageEntry(DockerImage(Descriptor("config", Digest.of(b"{}"), 2), ()), names=tuple(name))
    archive = Archive("docker-archive", (image,), {}, {Digest.of(b"{}"): Extent(0, 2)})
    given = dict(_given(options))
    url = parse_registry_url(registry[0], "the registry")
    plan = make_plan([archive], PushOptions.parse(given), Destination("default", url.name, url.path))
    assert [str(each) for image in plan.images for each in image.destinations] == lands


def _given(options: list[str]) -> Iterator[tuple[str, list[str]]]:
    for option in options:
        key, _, value = option.partition("=")
        yield key, [value]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("data")) as started:
        yield started


def run(command: str, running: Service, place: Path) -> Any:
    """The document that a curl of the README answers with, its service and directory put in place."""
    words = shlex.split(command.replace("127.0.0.1:8080", running.address))
    assert words[0] == "curl"
    done = subprocess.run([curl(), "-sS", *words[1:]], capture_output=True, check=True, cwd=place, timeout=50)
    assert done.stdout.endswith(b"\n")
    return json.loads(done.stdout)


def shape(value: Any) -> Any:
    """Members and types. Digests are the same everywhere; ids, times and addresses are not."""
    if isinstance(value, dict):
        return {key: shape(member) for key, member in value.items()}
    if isinstance(value, list):
        return [shape(member) for member in value]
    return value if isinstance(value, str) and value.startswith("sha256:") else type(value).__name__


def test_the_first_curl_answers_as_shown(running: Service, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes((CORPUS / "d20-save-one.tar").read_bytes())
    shown = json.loads(blocks(page("quickstart"), "json")[0])
    answer = run(blocks(TEXT, "sh")[1], running, tmp_path)
    assert shape(answer) == shape(shown)
    assert answer["state"] == shown["state"] == "succeeded"
    assert answer["images"][0]["destinations"] == [f"{running.address}/tiny/app:1.0"]


def test_the_error_that_is_shown_is_answered(running: Service, tmp_path: Path) -> None:
    (tmp_path / "bad-digest.tar").write_bytes((CORPUS / "bad-digest.tar").read_bytes())
    answer = run(blocks(page("errors"), "sh")[0], running, tmp_path)
    assert answer.pop("job")["state"] == "failed"
    assert answer == json.loads(blocks(page("errors"), "json")[0])


def test_the_image_can_be_pulled_back_as_shown(running: Service, skopeo: str, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes((CORPUS / "d20-save-one.tar").read_bytes())
    run(blocks(TEXT, "sh")[1], running, tmp_path)
    line = next(line for line in blocks(TEXT, "sh")[2].splitlines() if line.startswith("skopeo"))
    words = shlex.split(line.replace("127.0.0.1:8080", running.address))
    subprocess.run([skopeo, "--insecure-policy", *words[1:]], check=True, cwd=tmp_path, capture_output=True, timeout=50)
    assert (tmp_path / "back.tar").stat().st_size > 0


EXAMPLES = [block for block in blocks(ALL, "sh") if re.search(r"^[^#\n]*\bcurl ", block, re.MULTILINE)]
ELSEWHERE = ("make run", '-H "Authorization')  # a service of its own; a token of it
LEFT_OUT = re.compile(
    r"^docker .*\n", re.MULTILINE
)  # its engine is not here; what it writes comes by a pipe all the same
AN_ID = "02aba3f695c34e8b1a3a5b1110ff2f1d"


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Path]]:
    """A service, and a directory with every file that an example sends."""
    place = tmp_path_factory.mktemp("station")
    one, two = ((CORPUS / name).read_bytes() for name in ("d20-save-one.tar", "podman-docker-archive.tar"))
    for name, content in {
        "x.tar": one,
        "a.tar": one,
        "b.tar.gz": gzip.compress(two),
        "x.tar.000": one[:20_000],
        "x.tar.001": one[20_000:],
    }.items():
        (place / name).write_bytes(content)
    (place / "in").mkdir()
    (place / "in" / "y.tar").write_bytes(two)
    with service(tmp_path_factory.mktemp("data"), TARMAC_PATH_ROOTS=str(place / "in")) as started:
        yield started, place


@pytest.mark.parametrize("block", [example for example in EXAMPLES if not any(word in example for word in ELSEWHERE)])
def test_every_example_with_curl_does_what_it_says(station: tuple[Service, Path], block: str, tmp_path: Path) -> None:
    """Each block as one script, which ends at the first refusal; `-f` makes curl tell one from an answer."""
    running, place = station
    known = running.curl("-T", place / "x.tar", "/push/?wait=30")[1]["id"]
    text = LEFT_OUT.sub("", block).replace("127.0.0.1:8080", running.address)
    text = text.replace("/data/in", str(place / "in")).replace(AN_ID, known)
    wants_refusal = "bad-digest.tar" in block
    if wants_refusal:
        shutil.copy(CORPUS / "bad-digest.tar", place)
    script = f'set -euo pipefail\ncurl() {{ {curl()} --fail-with-body "$@"; }}\n{text}'
    done = subprocess.run(["bash", "-c", script], check=False, cwd=place, capture_output=True, timeout=50, text=True)
    assert (done.returncode == 22) == wants_refusal, done.stderr + done.stdout
    assert wants_refusal or done.returncode == 0, done.stderr + done.stdout
    jobs = running.curl("/jobs?limit=500")[1]["jobs"]
    ended = [running.curl(f"/jobs/{job['id']}?wait=30")[1] for job in jobs]
    assert {job["state"] for job in ended if job["archives"][0]["name"] != "bad-digest.tar"} == {"succeeded"}


def test_the_readme_is_short_and_lists_every_page_of_the_guide() -> None:
    assert len(TEXT.splitlines()) <= MAX_LINES
    listed = re.findall(r"^\| \[[^]]+\]\(app/docs/([a-z-]+)\.md\) \|", TEXT, re.MULTILINE)
    assert set(listed) == set(pages()) - {INDEX}


def test_every_link_of_the_readme_leads_to_a_heading_of_the_guide() -> None:
    for name, anchor in re.findall(r"\]\(app/docs/([a-z-]+)\.md(?:#([^)]+))?\)", TEXT):
        assert not anchor or anchor in {section.anchor for section in pages()[name].sections()}, (name, anchor)


def test_every_file_that_is_named_is_there() -> None:
    found = re.findall(
        r"`((?:app|deploy|tests|openapi|\.ci)/[A-Za-z0-9_./-]+|[A-Z]+(?:\.md)?|docker-compose\.yml)`", TEXT
    )
    files = {
        found_item
        for found_item in found
        if "/" in found_item or found_item.endswith((".md", ".yml")) or found_item == "LICENSE"
    }
    assert len(files) > 4
    assert not [file for file in files if file != "tests/push" and not (ROOT / file).exists()]
