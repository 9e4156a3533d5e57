"""HTTP_PROXY and its family."""

from __future__ import annotations

import pytest

from app.errors import InvalidRequest
from app.net.proxies import Proxies
from app.net.urls import Origin

PROXY = "http://proxy.corp:3128"


@pytest.mark.parametrize(
    ("exceptions", "url", "direct"),
    [
        ("", "https://r.corp", False),
        ("*", "https://r.corp", True),
        ("r.corp", "https://r.corp:5000", True),
        ("corp", "https://r.corp", True),
        (".corp", "https://r.corp", True),
        ("*.corp", "https://r.corp", True),
        (".r.corp", "https://r.corp", False),
        ("corp", "https://r.notcorp", False),
        ("r.corp:5000", "https://r.corp:5000", True),
        ("r.corp:5000", "https://r.corp", False),
        ("10.0.0.0/8", "https://10.1.2.3:5000", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.0/8", "https://r.corp", False),
        ("10.0.0.0/x", "https://10.1.2.3", False),
        ("10.1.2.3", "http://10.1.2.3", True),
        ("fd00::/8", "https://[fd00::1]:5000", True),
        ("fd00::1", "https://[fd00::1]:5000", True),
        ("[fd00::1]:5000", "https://[fd00::1]:5000", True),
        ("a, R.CORP ,b", "https://r.corp", True),
        ("", "http://127.0.0.1:5000", True),
        ("", "https://localhost", True),
    ],
)
def test_no_proxy_says_where_no_proxy_is_used(exceptions: str, url: str, direct: bool) -> None:
    proxies = Proxies.of({"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "NO_PROXY": exceptions})
    assert proxies.proxy_for(Origin.of(url, "it")) == (None if direct else PROXY)


def test_each_scheme_has_its_proxy_and_lower_case_goes_first() -> None:
    proxies = Proxies.of({"http_proxy": "a:1", "HTTP_PROXY": "b:1", "ALL_PROXY": "https://c"})
    assert (proxies.http, proxies.https) == ("http://a:1", "https://c")
    assert Proxies.of({}) == Proxies()


@pytest.mark.parametrize("text", ["socks5://p:1", "http://", "http://p:99999"])
def test_what_is_no_proxy_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(InvalidRequest, match="HTTPS_PROXY"):
        Proxies.of({"HTTPS_PROXY": text})
