"""images.yaml and charts.yaml of a mindthegap bundle: the images in it, and their names.

Their formats are in mindthegap's config/images_config.go and helm_charts_config.go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.archive.formats.reading.reader import ArchiveReader
from app.archive.formats.storage.tree import TagRequest
from app.archive.yaml import MAX_BYTES, Node, read_yaml
from app.errors import InvalidReference, LimitExceeded, MalformedArchive, join_limited
from app.oci import Reference

MAX_LINES = 60_000  # of the plain form, with one image or URL per line
IMAGES = "images.yaml"
CHARTS = "charts.yaml"
_CHARTS_PREFIX = "charts/"  # in the bundle only; in the destination a chart has no prefix
_REGISTRY_KEYS = frozenset({"images", "tlsVerify", "credentials"})
_CHARTS_KEYS = frozenset({"repositories", "chartURLs"})
_REPOSITORY_KEYS = frozenset({"repoURL", "username", "password", "tlsVerify", "charts"})


@dataclass(frozen=True, slots=True)
class BundleListing:
    wanted: tuple[TagRequest, ...] = ()
    notes: tuple[str, ...] = ()


def read_bundle_listing(contents: ArchiveReader) -> BundleListing:
    """Return the entries of both files, without repeats. Raises LimitExceeded, MalformedArchive."""
    images = contents.read(IMAGES, MAX_BYTES) or b""
    charts = contents.read(CHARTS, MAX_BYTES) or b""
    wanted = tuple(dict.fromkeys((*_images(images), *_charts(charts))))
    if len(wanted) > contents.limits.nodes:
        raise LimitExceeded(f"the bundle lists {len(wanted)} images; at most {contents.limits.nodes} are read")
    return BundleListing(wanted, (*_shared(wanted), *_urls(charts)))


def _images(raw: bytes) -> Iterator[TagRequest]:
    """Yield the images from registry host -> `images` -> repository -> tags, or from one image per line."""
    lines = _lines(raw, IMAGES)
    if not _is_yaml(lines):
        yield from _plain_images(lines)
        return
    for registry, members in _mapping(read_yaml(raw, what=IMAGES), IMAGES).items():
        where = f"{registry!r:.300} of {IMAGES}"
        listed = _members(members, _REGISTRY_KEYS, where).get("images")
        for repository, tags in _mapping(listed, f"`images` of {where}").items():
            for tag in _texts(tags, f"{repository!r:.300} of {where}"):
                yield _image(registry, repository, tag)


def _lines(raw: bytes, what: str) -> list[str]:
    """Split a file into lines. Raises LimitExceeded, MalformedArchive.

    Control characters are rejected, and line separators that only some readers recognize."""
    if raw.count(b"\n") > MAX_LINES:
        raise LimitExceeded(f"{what} has {raw.count(10)} lines; at most {MAX_LINES} are read")
    try:
        lines = [line.removesuffix("\r") for line in raw.decode("utf-8").split("\n")]
    except UnicodeDecodeError as error:
        raise MalformedArchive(f"{what} is not UTF-8 at byte {error.start}") from None
    for number, line in enumerate(lines, 1):
        if not line.isprintable():
            raise MalformedArchive(f"line {number} of {what} contains a tab or a control character")
    return lines


def _is_yaml(lines: Sequence[str]) -> bool:
    """Return whether the lines are YAML: a mapping has a colon before a space or a line end, an image name never."""
    text = [line.strip(" ") for line in lines]
    return any(
        line in {"---", "{}", "null", "~"} or line.endswith(":") or ": " in line
        for line in text
        if not line.startswith("#")
    )


def _plain_images(lines: Sequence[str]) -> Iterator[TagRequest]:
    for number, line in enumerate(lines, 1):
        text = line.strip(" ")
        if text and not text.startswith("#"):
            try:
                reference = Reference.parse(text)
            except InvalidReference as error:
                raise MalformedArchive(f"line {number} of {IMAGES} is not an image name", content=str(error)) from None
            tag = reference.tag or "latest"  # if a name has tag and digest, a bundle keeps the tag
            yield _image(reference.registry, reference.repository, tag)


def _image(registry: str, repository: str, tag: str) -> TagRequest:
    path = f"{repository}:{tag}"
    name = f"{registry}/{path}"
    try:
        is_whole = Reference.parse(name).repository == repository
    except InvalidReference:
        is_whole = False
    # `alpine` of docker.io means library/alpine everywhere except in mindthegap, which keeps it unchanged
    return TagRequest(repository, tag, name=name) if is_whole else TagRequest(repository, tag, path=path)


def _charts(raw: bytes) -> Iterator[TagRequest]:
    repositories = _charts_members(raw).get("repositories")
    for name, members in _mapping(repositories, f"`repositories` of {CHARTS}").items():
        where = f"{name!r:.300} of {CHARTS}"
        listed = _members(members, _REPOSITORY_KEYS, where).get("charts")
        for chart, versions in _mapping(listed, f"`charts` of {where}").items():
            for version in _texts(versions, f"{chart!r:.300} of {where}"):
                tag = version.replace("+", "_")  # as in `helm push`: a tag has no plus sign
                yield TagRequest(_CHARTS_PREFIX + chart, tag, path=f"{chart}:{tag}")


def _charts_members(raw: bytes) -> Mapping[str, Node]:
    """Return the members of charts.yaml; empty for the plain form, a list of URLs."""
    if not _is_yaml(_lines(raw, CHARTS)):
        return {}
    return _members(read_yaml(raw, what=CHARTS), _CHARTS_KEYS, CHARTS)


def _urls(raw: bytes) -> Iterator[str]:
    """Yield a note about charts that are listed by URL only: a URL does not contain the chart's name in the bundle.

    The tool lists such charts by name as well."""
    lines = _lines(raw, CHARTS)
    plain = [text for line in lines if (text := line.strip(" ")) and not text.startswith("#")]
    urls = _texts(_charts_members(raw).get("chartURLs"), "chartURLs") if _is_yaml(lines) else plain
    if urls:
        yield f"{CHARTS} lists {len(urls)} charts by URL only, without their names; they are not pushed"


def _shared(wanted: Sequence[TagRequest]) -> Iterator[str]:
    """Yield a note about images that share a repository and tag in the bundle.

    A bundle stores repositories without the registry, so the last image replaces the others."""
    first: dict[tuple[str, str], TagRequest] = {}
    pairs = ((first.setdefault((request.repository, request.tag), request), request) for request in wanted)
    shared = [f"{other} and {request}" for other, request in pairs if other is not request]
    if shared:
        names = join_limited(shared)
        yield f"the bundle contains only one image for each of these pairs, and that one is pushed: {names}"


def _mapping(value: Node, what: str) -> Mapping[str, Node]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise MalformedArchive(f"{what} is not a mapping")


def _members(value: Node, known: frozenset[str], what: str) -> Mapping[str, Node]:
    members = _mapping(value, what)
    if unknown := [repr(key) for key in members if key not in known]:
        raise MalformedArchive(f"{what} has unknown keys", content=join_limited(unknown))
    return members


def _texts(value: Node, what: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        texts = [item for item in value if isinstance(item, str)]
        if len(texts) == len(value):
            return texts
    raise MalformedArchive(f"{what} is not a list of texts")
