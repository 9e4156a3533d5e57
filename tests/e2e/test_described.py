"""Every answer is one that the OpenAPI document describes, whatever is asked: requests made up by schemathesis from the
served document, right and wrong, to a service in a process of its own. SCHEMA_EXAMPLES=200 makes more of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.service import Service, service
from tests.support.archives import docker_save, image, tagged

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "1"))  # of each kind for each operation
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# What `default` may stand for: refusals that any operation may answer with. Every other status has its own line.
ANYWHERE = {400, 401, 403, 405, 413}
SECONDS_OF = {"/events": 2}  # a stream without an end
APP = docker_save([tagged(image({"bin/app": b"one"}), "team/app:1")])


@schemathesis.serializer(
    "application/x-tar",
    "application/gzip",
    "application/zstd",
    "application/offset+octet-stream",
    "application/partial-upload",
)
def bytes_of(_: schemathesis.SerializationContext, value: object) -> bytes:
    """An archive or a piece of one, as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("described") / "data") as started:
        yield started


def faults_of(operation: Any, mode: schemathesis.GenerationMode, session: requests.Session, url: str) -> set[str]:
    found: set[str] = set()
    documented = operation.definition.raw["responses"]

    @seed(7)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        response = case.call(base_url=url, session=session, timeout=SECONDS_OF.get(operation.path, 20))
        status = response.status_code
        if str(status) not in documented and status not in ANYWHERE:
            found.add(f"{operation.label}: {status} has no line: {response.text[:200]}")
        try:
            case.validate_response(response, checks=CHECKS)
        except (Failure, FailureGroup) as failure:
            each = failure.exceptions if isinstance(failure, FailureGroup) else [failure]
            found.update(f"{operation.label}: {status} {one.title}: {one.message[:300]}" for one in each)

    with suppress(Unsatisfiable):  # any text is a right name: no wrong one can be made up
        ask()
    return found


def modes_of(definition: dict[str, Any]) -> tuple[schemathesis.GenerationMode, ...]:
    """Right requests and wrong ones, where there is more than a path, which takes any text."""
    both = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    named = any(item["in"] in ("query", "header") for item in definition.get("parameters", ()))
    return both if named or "requestBody" in definition else both[:1]


@pytest.mark.timeout(3_600 if EXAMPLES > 1 else 300)  # seconds of waiting on a busy machine
def test_every_answer_is_documented(running: Service) -> None:
    status, _ = running.curl("--data-binary", "@-", "/push?wait=20", stdin=APP)
    assert status == 200
    schema = schemathesis.openapi.from_dict(requests.get(f"{running.url}/openapi.json", timeout=20).json())
    found: set[str] = set()
    with requests.Session() as session:
        for result in schema.get_all_operations():
            assert isinstance(result, Ok)
            operation = result.ok()
            for mode in modes_of(operation.definition.raw):
                found |= faults_of(operation, mode, session, running.url)
    assert not found, "\n" + "\n".join(sorted(found))
