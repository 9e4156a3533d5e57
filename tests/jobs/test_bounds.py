"""What comes from outside is cut where it is stored, and said to be."""

from __future__ import annotations

import pytest

from app.api.routes.push import display_name, display_path
from app.archive import Limits
from app.archive.model import ImageEntry
from app.errors import MAX_DETAIL, LimitExceeded, RegistryDenied
from app.jobs.bounds import MAX_NOTICE, MAX_NOTICES, add_notices, shorten, within
from app.jobs.preparation import _image
from app.jobs.sources.server_archives import unique_name
from app.oci import Descriptor, Digest, Reference
from app.push.plan.values import ImageTarget
from tests.support.archives import docker_save, image, tagged
from tests.support.opening import opened

LONG = "x" * 10_000


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_a_short_text_stays(size: int) -> None:
    assert shorten("x" * size, 10) == "x" * size


def test_a_long_text_ends_with_a_mark() -> None:
    assert shorten("x" * 11, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("text", "most"),
    [
        (RegistryDenied(LONG).problem.detail, MAX_DETAIL),
        (unique_name(LONG, set()), 255),
        (display_name(LONG), 255),
        (display_path(f"{LONG}/{LONG}"), 1_024),
        (add_notices((), (LONG,))[0], MAX_NOTICE),
    ],
)
def test_every_text_from_outside_is_cut_with_a_mark(text: str, most: int) -> None:
    assert len(text) == most
    assert text.endswith("…")


def test_names_of_an_image_are_cut_where_they_are_stored() -> None:
    root = Descriptor(f"application/{LONG}", Digest.of(b"x"), 1)
    target = ImageTarget(0, ImageEntry(root, (LONG,)), (Reference("r.test", "a", "1"),))
    stored = _image("x.tar", target, None)
    assert [len(stored.names[0]), len(stored.media_type or "")] == [512, 512]


def test_two_long_names_of_one_request_stay_apart() -> None:
    first = unique_name(LONG, set())
    assert unique_name(LONG, {first}) == f"{first} (2)"


@pytest.mark.parametrize("parts", [1, 7, 500])
def test_notices_beyond_the_bound_are_told_as_one(parts: int) -> None:
    texts = [f"notice {number}" for number in range(500)]
    notices: tuple[str, ...] = ()
    for start in range(0, 500, parts):
        notices = add_notices(notices, texts[start : start + parts])
    assert notices[:MAX_NOTICES] == tuple(texts[:MAX_NOTICES])
    assert len(notices) == MAX_NOTICES + 1
    assert add_notices(notices, ()) == notices
    assert add_notices(tuple(texts[:MAX_NOTICES]), ()) == tuple(texts[:MAX_NOTICES])


def test_a_list_ends_before_it_is_too_large() -> None:
    assert list(within("aaaa", 3, len)) == ["a", "a", "a"]
    assert list(within("a", 0, len)) == []


def test_an_archive_whose_names_are_too_long_together_is_refused() -> None:
    archive = docker_save([tagged(image({"a": b"a"}), *(f"a.test/{'x' * 100}{number}:1" for number in range(20)))])
    size = sum(len(f"a.test/{'x' * 100}{number}:1") for number in range(20))
    assert len(opened(archive, Limits(names_bytes=size)).images) == 1
    with pytest.raises(LimitExceeded, match="together"):
        opened(archive, Limits(names_bytes=size - 1))
