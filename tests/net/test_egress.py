"""Where a registry may send us, held with listeners that nobody may come to."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from app.errors import RegistryRejected
from app.net.addresses import is_internal
from app.net.dial import dial
from app.net.egress import EgressPolicy, check_target, parse_allowed_origin
from tests.net.egress_scripts import INNER, NAMES, PUBLIC, WAYS
from tests.support.namespace import run_in_namespace


def test_nothing_a_registry_says_makes_a_connection_to_an_inner_address(tmp_path: Path) -> None:
    addresses = (*(item for item in INNER if item not in {"127.0.0.1", "::1"}), PUBLIC)
    told = json.loads(run_in_namespace("tests.net.egress_scripts", tmp_path, addresses, NAMES))
    # a token service at another port of a registry on loopback is of its own site (`site_scripts`)
    assert told["inner"].pop("realm").keys() == {"127.0.0.1"}
    assert told["inner"] == {}
    assert set(told["refused"]) == set(WAYS)
    for way in set(WAYS) - {"mount", "delete-redirect"}:  # whose refusal is nobody's error
        assert told["refused"][way] > 0, way
    assert told["public"][PUBLIC] > 1, "a public address is followed, so the listeners do listen"
    assert told["listed"]["10.66.0.1"] > 0, "an inner address that the operator lists is followed"


INTERNAL = (
    "10.0.0.1", "127.1", "0x7f.1", "2130706433", "0", "0.0.0.0", "localhost", "localhost.", "::", "::1",
    "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "::127.0.0.1",
    "fd00:ec2::254", "fe80::1%eth0", "fec0::1", "224.0.0.1", "ff02::1",
    "168.63.129.16", "100.100.100.200", "240.0.0.1", "255.255.255.255", "192.0.2.1", "169.254.0.1",
)  # fmt: skip
PUBLICLY = (
    "1.1.1.1",
    "8.8.8.8",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "example.com",
    "10.example.com",
)


@pytest.mark.parametrize(("host", "internal"), [(h, True) for h in INTERNAL] + [(h, False) for h in PUBLICLY])
def test_an_inner_address_is_known_however_it_is_written(host: str, internal: bool) -> None:
    assert is_internal(host) is internal


def test_a_name_that_means_one_inner_address_among_public_ones_is_refused() -> None:
    reach = EgressPolicy(frozenset({("r.local", 5000)}))
    reach.check("r.local", 5000, ["10.0.0.1"])
    reach.check("R.local", 5000, ["169.254.169.254"])
    reach.check("storage.example", 443, ["8.8.8.8"])
    for host, port, addresses in (("s.example", 443, ["8.8.8.8", "10.0.0.1"]), ("r.local", 5001, ["10.0.0.1"])):
        with pytest.raises(RegistryRejected, match=r"10\.0\.0\.1"):
            reach.check(host, port, addresses)


async def test_a_name_is_resolved_once_and_that_answer_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that answers with a public address first and an inner one next gets no second question."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        asked = []

        def resolve(host: str, port: int, **more: Any) -> list[Any]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        connected = await dial("rebinding.example", port, EgressPolicy(frozenset({("rebinding.example", port)})))
        assert connected.getpeername() == ("127.0.0.1", port)
        connected.close()
        with pytest.raises(RegistryRejected):
            await dial("rebinding.example", port, EgressPolicy(frozenset()))
        assert len(asked) == 2


async def test_the_second_address_is_tried_where_the_first_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as closed:
        closed.bind(("127.0.0.2", 0))
        places = [("127.0.0.2", closed.getsockname()[1]), listener.getsockname()]

        def resolve(host: str, port: int, **more: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        connected = await dial("two.example", 1, None)
        assert connected.getpeername() == places[1]
        connected.close()
        del places[1]
        with pytest.raises(ConnectionRefusedError):
            await dial("two.example", 1, None)


async def test_connecting_that_is_cancelled_leaves_no_socket_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the connection has been made in the same turn of the event loop. A socket left open is a
    ResourceWarning, which is an error here."""
    made: list[socket.socket] = []
    real = socket.socket

    class Watched(real):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            made.append(self)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setattr("app.net.dial.socket.socket", Watched)
        for turns in range(12):
            task = asyncio.create_task(dial("127.0.0.1", port, None))
            for _ in range(turns):
                await asyncio.sleep(0)
            if task.done():
                task.result().close()
                continue
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for _ in range(5):
            await asyncio.sleep(0)
    assert made
    assert all(item.fileno() == -1 for item in made)


@pytest.mark.parametrize(
    ("text", "origin"), [("auth.corp", "https://auth.corp"), (" http://10.0.0.1:80/ ", "http://10.0.0.1")]
)
def test_an_origin_is_written_with_or_without_its_scheme(text: str, origin: str) -> None:
    assert str(parse_allowed_origin(text)) == origin


def test_what_is_written_is_refused_before_anybody_is_asked() -> None:
    secure, inner = parse_allowed_origin("https://r.local"), parse_allowed_origin("http://10.0.0.1")
    with pytest.raises(RegistryRejected, match="not followed from https"):
        check_target(parse_allowed_origin("http://r.local"), secure, "a redirect")
    with pytest.raises(RegistryRejected, match="allowed_origins"):
        check_target(inner, parse_allowed_origin("http://r.local"), "a redirect")
    check_target(inner, secure, "a redirect", {inner})
    check_target(inner, inner, "a redirect")
