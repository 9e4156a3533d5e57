"""The texts of the page, one file per language."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "app" / "api" / "page" / "station"
TEXTS = sorted((PAGE / "texts").glob("*.js"))
_KEY = re.compile(r'^  "([a-z_.]+)": (.+),$', re.MULTILINE)
_USED = re.compile(r'\bt\((?:[^()"`]*\? )?"([a-z_.]+)"(?: : "([a-z_.]+)")?')
_IN_PAGE = re.compile(r'data-t(?:-[a-z]+)?="([a-z_.]+)"')


def texts(path: Path) -> dict[str, str]:
    return dict(_KEY.findall(path.read_text(encoding="utf-8")))


def test_each_language_has_the_same_keys_and_placeholders() -> None:
    english = texts(PAGE / "texts" / "en.js")
    assert len(TEXTS) > 1
    assert len(english) > 200
    for path in TEXTS:
        found = texts(path)
        assert found.keys() == english.keys(), path.name
        for key, text in found.items():
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", english[key])), (path.name, key)


def test_each_text_that_is_used_exists() -> None:
    known = texts(PAGE / "texts" / "en.js")
    scripts = [path.read_text(encoding="utf-8") for path in PAGE.rglob("*.js") if path not in TEXTS]
    used = {key for script in scripts for pair in _USED.findall(script) for key in pair if key}
    used |= set(_IN_PAGE.findall((PAGE / "index.html").read_text(encoding="utf-8")))
    assert used
    assert not used - known.keys()


def test_the_page_itself_has_no_text_of_a_language() -> None:
    body = (PAGE / "index.html").read_text(encoding="utf-8").partition("<body>")[2]
    visible = re.sub(r"<noscript>.*?</noscript>|<[^>]+>", " ", body, flags=re.DOTALL)
    assert visible.split() == ["Tarmac", "API"]
