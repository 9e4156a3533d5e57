"""tus-js-client and kill -9; `python -m tests.soak resume` does it a hundred times."""

from __future__ import annotations

from tests.soak import Orders
from tests.soak.resume import run


def test_an_upload_of_tus_js_client_has_the_same_bytes_after_kill_9() -> None:
    report = run(Orders(rounds=1, seed=7))
    assert report.losses == []
    assert report.killed_under_way > 0
