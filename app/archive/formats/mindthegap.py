"""mindthegap-bundle: a registry's storage with images.yaml or charts.yaml that list its content.

`create bundle` of mesosphere/mindthegap writes it. The order of the root is random, because the writer walks a Go map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.archive.formats.mindthegap_listing import CHARTS, IMAGES, read_bundle_listing
from app.archive.formats.reading.reader import ArchiveReader
from app.archive.formats.storage.tree import TagRequest, holds_tree, read_archive, resolve_tags, tags, unusable
from app.archive.model import Archive, Fault
from app.errors import MissingContent, join_limited


class MindthegapBundle:
    name = "mindthegap-bundle"
    lists_content = True

    def recognises(self, contents: ArchiveReader) -> bool:
        """Return whether a listing and a storage exist.

        Stray oci-layout and manifest.json files at the root are common."""
        has_config = any(contents.extent(name) is not None for name in (IMAGES, CHARTS))
        return has_config and holds_tree(contents)

    def read(self, contents: ArchiveReader) -> Archive:
        """Return the listed images under the listed names; other tags of the tree are not pushed."""
        listing = read_bundle_listing(contents)
        found, absent = resolve_tags(contents, listing.wanted)
        fault = Fault(
            MissingContent, f"{IMAGES} or {CHARTS} lists it, but the bundle does not contain it; create it again"
        )
        found = (*found, *(unusable(item, fault) for item in absent))
        notes = (*listing.notes, *_unlisted(contents, listing.wanted))
        return read_archive(contents, self.name, found, notes)


def _unlisted(contents: ArchiveReader, wanted: Sequence[TagRequest]) -> Iterator[str]:
    listed = {(request.repository, request.tag) for request in wanted}
    others = [f"{repository}:{tag}" for repository, tag in tags(contents) if (repository, tag) not in listed]
    if others:
        yield f"tags of the bundle that {IMAGES} and {CHARTS} do not list are not pushed: {join_limited(others)}"
