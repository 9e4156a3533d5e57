"""Puts what `tests.support.archives` builds into a layout, as a push does."""

from __future__ import annotations

from app.oci import Descriptor, Digest
from app.registry.oci_layout.registry import LayoutRegistry
from tests.support.archives import Node
from tests.support.blob_content import BytesContent


def described(node: Node) -> tuple[Descriptor, bytes]:
    return Descriptor(node.media_type, Digest.parse(node.digest), len(node.raw)), node.raw


async def land_blobs(layout: LayoutRegistry, repository: str, node: Node) -> None:
    for data in node.blobs.values():
        await layout.push_blob(repository, BytesContent(data))


async def land(layout: LayoutRegistry, repository: str, node: Node, *tags: str) -> None:
    """Blobs, children by digest, the node under each tag, or under its digest where there is none."""
    for child in node.children:
        await land(layout, repository, child)
    await land_blobs(layout, repository, node)
    for reference in tags or (node.digest,):
        await layout.push_manifest(repository, reference, described(node))
