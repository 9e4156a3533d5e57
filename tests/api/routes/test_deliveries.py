"""Deliveries: grouping, counts, reports, retry and delete."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser
from typing import Any

import pytest

from app.jobs.deliveries.escaping import csv_cell, visible
from app.jobs.deliveries.report_csv import COLUMNS
from tests.api.conftest import APP, IN_ONE_LOOP, OTHER, Served
from tests.support.archives import docker_save, image, tagged

UNNAMED = docker_save([tagged(image({"bin/app": b"three"}))])
BAD = APP[:1_500]


async def push(served: Served, name: str, body: bytes, **query: Any) -> dict[str, Any]:
    answer = await served.client.put(f"/push/{name}", content=body, params={"wait": 30, **query})
    members: dict[str, Any] = answer.json()
    job: dict[str, Any] = members.get("job", members)
    return job


async def shown(served: Served, delivery: str) -> dict[str, Any]:
    answer = await served.client.get(f"/deliveries/{delivery}")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def report(served: Served, delivery: str) -> list[dict[str, Any]]:
    answer = await served.client.get(f"/deliveries/{delivery}/report")
    rows: list[dict[str, Any]] = answer.json()["rows"]
    return rows


async def test_jobs_that_name_a_delivery_are_counted_and_reported_together(served: Served) -> None:
    files = [{"path": name, "size": 9} for name in ("app.tar", "other.tar", "lost.tar")]
    listed = {
        "name": "disk 7",
        "labels": {"site": "b"},
        "files": [*files, {"path": "manual.pdf", "size": 5, "left_out": "no archive"}],
    }
    begun = await served.client.post("/deliveries", json=listed)
    assert begun.status_code == 201
    delivery = begun.json()["id"]
    assert begun.headers["location"] == f"/deliveries/{delivery}"
    jobs = [
        await push(served, name, body, delivery="disk 7")
        for name, body in (("app.tar", APP), ("other.tar", OTHER), ("unnamed.tar", UNNAMED), ("bad.tar", BAD))
    ]
    assert {job["delivery"] for job in jobs} == {delivery}
    document = await shown(served, delivery)
    counts = {name: count for name, count in document["counts"].items() if count}
    assert counts == {"pushed": 2, "needs_decision": 1, "failed": 1, "left_out": 1, "expected": 1}
    assert document["files"]["total"] == 6
    assert document["jobs"]["total"] == 4
    assert (document["jobs"]["succeeded"], document["jobs"]["failed"]) == (2, 2)
    assert document["labels"] == {"site": "b"}
    rows = {row["path"]: row for row in await report(served, delivery)}
    assert rows["app.tar"]["destinations"] == jobs[0]["images"][0]["destinations"]
    assert rows["app.tar"]["archive_digest"] == jobs[0]["archives"][0]["digest"]
    assert rows["unnamed.tar"]["code"] == "missing_tag"
    assert rows["manual.pdf"]["problem"] == "no archive"
    assert rows["lost.tar"]["outcome"] == "expected"
    listing = await served.client.get("/jobs", params={"delivery": "disk 7"})
    assert {job["id"] for job in listing.json()["jobs"]} == {job["id"] for job in jobs}


async def test_a_name_joins_the_open_delivery_and_an_id_its_own(served: Served) -> None:
    first = await served.client.post("/deliveries", json={"name": "night"})
    again = await served.client.post("/deliveries", json={"name": "night", "files": [{"path": "x.tar"}]})
    nameless = await served.client.post("/deliveries", content=b"")
    assert (first.status_code, again.status_code, nameless.status_code) == (201, 200, 201)
    assert first.json()["id"] == again.json()["id"] != nameless.json()["id"]
    job = await push(served, "app.tar", APP, delivery=nameless.json()["id"])
    assert job["delivery"] == nameless.json()["id"]
    upload = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(len(OTHER)),
        "Content-Type": "application/offset+octet-stream",
    }
    begun = await served.client.post("/uploads?delivery=night", content=OTHER, headers=upload)
    ended = await served.ended({"id": begun.headers["tarmac-job"].rpartition("/")[2]})
    assert ended["delivery"] == first.json()["id"]


async def test_the_report_outlives_the_jobs_and_not_the_delivery(served: Served) -> None:
    job = await push(served, "app.tar", APP, delivery="gone")
    before = await report(served, job["delivery"])
    await served.client.delete(f"/jobs/{job['id']}")
    assert await report(served, job["delivery"]) == before
    assert (await shown(served, job["delivery"]))["jobs"]["total"] == 0
    assert (await served.client.delete(f"/deliveries/{job['delivery']}")).status_code == 204
    assert (await served.client.get(f"/deliveries/{job['delivery']}/report")).status_code == 404


async def test_a_delivery_is_deleted_with_its_jobs_and_what_they_keep(served: Served) -> None:
    kept = await push(served, "app.tar", APP, tag="a/b:1", delivery="all")
    other = await push(served, "other.tar", OTHER, tag="a/b:1", on_existing_tag="error", delivery="all")
    assert other["problem"]["code"] == "tag_exists"
    assert served.spooled()
    begun = await served.client.post("/uploads?delivery=all", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "9"})
    refused = await served.client.delete(f"/deliveries/{kept['delivery']}")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    await served.client.delete(begun.headers["location"], headers={"Tus-Resumable": "1.0.0"})
    assert (await served.client.delete(f"/deliveries/{kept['delivery']}")).status_code == 204
    assert (await served.client.get(f"/jobs/{other['id']}")).status_code == 404
    assert served.spooled() == []


async def test_the_failed_jobs_of_a_delivery_are_retried_together(served: Served) -> None:
    await push(served, "app.tar", APP, tag="a/b:1", delivery="again")
    failed = await push(served, "other.tar", OTHER, tag="a/b:1", on_existing_tag="error", delivery="again")
    bad = await push(served, "bad.tar", BAD, delivery="again")
    answer = await served.client.post(f"/deliveries/{failed['delivery']}/retry")
    assert answer.status_code == 202
    assert [job["id"] for job in answer.json()["jobs"]] == [failed["id"]]
    assert [item["job"] for item in answer.json()["refused"]] == [bad["id"]]
    assert (await served.ended(failed))["attempt"] == 2


async def test_pages_of_deliveries_follow_each_other(served: Served) -> None:
    for number in range(3):
        await served.client.post("/deliveries", json={"name": f"Disk {number}"})
    first = (await served.client.get("/deliveries", params={"limit": 2})).json()
    second = (await served.client.get("/deliveries", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["name"] for item in first["deliveries"] + second["deliveries"]] == ["Disk 2", "Disk 1", "Disk 0"]
    assert second["next_cursor"] is None
    found = (await served.client.get("/deliveries", params={"q": "disk 1"})).json()
    assert [item["name"] for item in found["deliveries"]] == ["Disk 1"]


HOSTILE = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202eexe.rat",
    "a\u0000b",
    "tab\tname",
]


class Page(HTMLParser):
    """Tags and attributes of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_hostile_names_are_data_in_every_form_of_the_report(served: Served) -> None:
    files = [{"path": name, "left_out": name} for name in HOSTILE]
    delivery = (await served.client.post("/deliveries", json={"name": "hostile", "files": files})).json()["id"]
    assert len(await report(served, delivery)) == len(HOSTILE)
    text = (await served.client.get(f"/deliveries/{delivery}/report?format=csv")).text
    records = list(csv.reader(io.StringIO(text)))
    assert tuple(records[0]) == COLUMNS
    for cell in (cell for record in records[1:] for cell in record):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert cell.isprintable()
    answer = await served.client.get(f"/deliveries/{delivery}/report?format=html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]
    page = Page()
    page.feed(answer.text)
    assert not page.tags & {"script", "img", "link", "a", "iframe", "svg"}
    assert not {name for name in page.attributes if name.startswith("on") or name in ("style", "href", "src")}
    assert "default-src 'none'" in answer.text
    assert "<script>alert(1)</script>" in page.text
    assert "\u202e" not in answer.text
    assert "\\u202eexe.rat" in page.text


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1", "'=1"),
        ("\t=1", "'\\u0009=1"),
        ("\r=1", "'\\u000d=1"),
        ("a=1", "a=1"),
        (" =1", "' =1"),
        ("\uff1d1", "'\uff1d1"),
        ("a\nb", "a\\u000ab"),
        ("ü", "ü"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("\ud800", "\\ud800"),
        ("", ""),
    ],
)
def test_a_cell_is_no_formula_and_shows_what_it_has(text: str, cell: str) -> None:
    assert csv_cell(text) == cell
    assert visible(text) == cell.removeprefix("'")


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", " =", "\uff1d"])
def test_no_cell_begins_with_a_formula_behind_a_semicolon(sign: str) -> None:
    """Spreadsheets of many languages divide lines there, also within quotes."""
    assert csv_cell(f"a;{sign}HYPERLINK(1);b") == f"a;'{sign}HYPERLINK(1);b"


async def test_a_delivery_lists_a_limited_number_of_files(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.jobs.deliveries.service.MAX_LISTED", 5)
    names = [{"path": f"{number}.tar"} for number in range(3)]
    assert (await served.client.post("/deliveries", json={"name": "x", "files": names})).status_code == 201
    more = [{"path": f"more-{number}.tar"} for number in range(3)]
    answer = await served.client.post("/deliveries", json={"name": "x", "files": more})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert (await served.client.post("/deliveries", json={"name": "x", "files": more[:2]})).status_code == 200


async def test_a_report_on_jobs_has_the_rows_of_those_that_fit(served: Served) -> None:
    await push(served, "app.tar", APP)
    bad = await push(served, "bad.tar", BAD)
    answer = await served.client.get("/jobs/report", params={"state": "failed"})
    assert [row["job"] for row in answer.json()["rows"]] == [bad["id"]]
    lines = (await served.client.get("/jobs/report?format=csv")).text.splitlines()
    assert len(lines) == 3
    page = await served.client.get("/jobs/report?format=html&q=app.tar")
    assert page.headers["content-type"].startswith("text/html")
    empty = await served.client.get("/jobs/report?q=absent")
    assert empty.json() == {"rows": []}


@IN_ONE_LOOP
@pytest.mark.parametrize(
    "body",
    [
        [],
        {"nam": "x"},
        {"name": 7},
        {"name": ""},
        {"name": "a/b"},
        {"name": "x" * 101},
        {"labels": {"a": 1}},
        {"labels": []},
        {"labels": {"=": "x"}},
        {"files": {}},
        {"files": ["x"]},
        {"files": [{"size": 1}]},
        {"files": [{"path": "x", "size": -1}]},
        {"files": [{"path": "x", "size": True}]},
        {"files": [{"path": "x", "left_out": 1}]},
        {"files": [{"path": "x", "why": "y"}]},
    ],
)
async def test_a_delivery_that_cannot_be_is_refused(shared: Served, body: Any) -> None:
    answer = await shared.client.post("/deliveries", content=json.dumps(body))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@IN_ONE_LOOP
@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/deliveries?name=x", "invalid_request"),
        ("GET", "/deliveries?limit=0", "invalid_request"),
        ("GET", "/deliveries?q=%00", "invalid_request"),
        ("GET", "/deliveries?cursor=x", "invalid_request"),
        ("GET", "/deliveries/absent", "not_found"),
        ("GET", "/deliveries/%00", "not_found"),
        ("GET", "/deliveries/absent/report?format=pdf", "invalid_request"),
        ("GET", "/jobs/report?format=pdf", "invalid_request"),
        ("GET", "/jobs/report?q=%00", "invalid_request"),
        ("GET", "/jobs/report?limit=1", "invalid_request"),
        ("POST", "/deliveries/absent/retry", "not_found"),
        ("DELETE", "/deliveries/absent", "not_found"),
        ("PUT", "/push/x.tar?delivery=a/b", "invalid_request"),
        ("PUT", "/push/x.tar?delivery=", "invalid_request"),
    ],
)
async def test_what_cannot_be_asked_is_refused(shared: Served, method: str, path: str, code: str) -> None:
    answer = await shared.client.request(method, path, content=b"x" if method == "PUT" else b"")
    assert answer.json()["code"] == code
