"""Describe an archive of no known format, and the remedy."""

from __future__ import annotations

from collections.abc import Sequence

from app.archive.formats.docker_archive import read_manifest
from app.archive.formats.reading.inner_hint import archives_within
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.tar.indexer import PROVENANCE
from app.errors import UnknownFormat, join_limited

_ROOT_FILE_SYSTEM = frozenset({"bin", "dev", "etc", "lib", "proc", "root", "sbin", "sys", "tmp", "usr", "var"})
_INNER_ARCHIVES = (".tar", ".tgz", ".tar.gz", ".tar.zst", ".tar.xz", ".tar.bz2", ".tzst", ".txz")
_MAX_NAME = 100  # characters of a name in a message; NKP has members of 64


def unknown_format_error(contents: ArchiveReader, supported: Sequence[str]) -> UnknownFormat:
    """Return the error for an archive that no format recognises."""
    roots = contents.index.roots
    found = f"its root contains {_enumerated(roots)}" if roots else "it is a tar without members"
    hint = _hint(contents)
    return UnknownFormat(
        f"the archive has no known format: {found}; supported formats are {', '.join(supported)}"
        + (f". {hint}" if hint else "")
    )


def _shown(name: str) -> str:
    return repr(name if len(name) <= _MAX_NAME else name[:_MAX_NAME] + "…")


def _hint(contents: ArchiveReader) -> str:
    roots = set(contents.index.roots)
    if roots == {PROVENANCE}:
        return "This is a signed text, such as the provenance of a Helm chart; send it in one request with its chart"
    return _hint_of_layout(contents, roots) or _hint_of_manifest(contents) or _hint_of_members(contents, roots)


def _hint_of_layout(contents: ArchiveReader, roots: set[str]) -> str:
    if {"oci-layout", "index.json"} <= roots:
        return "oci-layout and index.json of an OCI image layout must be files; here one of them is a directory"
    if "oci-layout" in roots:
        return "This is an OCI image layout without its index.json; save it again"
    if "index.json" in roots and "blobs" in roots:
        return "This looks like an OCI image layout without the file oci-layout; add it or save the layout again"
    return ""


def _hint_of_manifest(contents: ArchiveReader) -> str:
    value = read_manifest(contents)
    if value is None:
        return ""
    if isinstance(value, dict) and contents.extent("version") is not None:
        return "This is a directory of skopeo's dir: transport; copy it to docker-archive: or oci-archive: first"
    return "Its manifest.json is not the list that docker save writes"


def _hint_of_members(contents: ArchiveReader, roots: set[str]) -> str:
    if any(name.count("/") == 1 and name.endswith("/Chart.yaml") for name in contents.index.members):
        return "This contains a Helm chart that is not packaged; make a .tgz of it with `helm package`"
    if ".dockerenv" in roots or len(roots & _ROOT_FILE_SYSTEM) >= 4:
        return "This is the file system of a container (docker export); make an archive of the image with docker save"
    below = [name for name in contents.index.members if name.endswith(("/oci-layout", "/manifest.json"))]
    if below:
        return f"{_shown(below[0])} is in a directory; create the tar from inside it: tar -C DIRECTORY -cf x.tar ."
    return _hint_of_archives(contents)


def _hint_of_archives(contents: ArchiveReader) -> str:
    images, charts = archives_within(contents)
    if images:
        return f"Images are in {_enumerated(images)}; extract that from the archive and push it"
    if charts:
        return f"Charts are in {_enumerated(charts)}; push these files without the others"
    inner = [name for name in contents.index.members if name.endswith(_INNER_ARCHIVES)]
    if inner and len(inner) == sum(1 for _ in contents.index.files()):
        return f"It contains {_enumerated(inner)}; extract and push these"
    return ""


def _enumerated(names: Sequence[str]) -> str:
    return join_limited([_shown(name) for name in names])
