"""Verification of content that is not sent, because its image is present or skipped.

Content that is sent is verified on the way. Without this check, an archive whose images need no push would count as
valid although it was never read. Manifests are verified when the archive is opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from app.archive.model import DockerImage, ReadAt
from app.push.plan.image_content import ImageBlob, image_blobs, manifests, referrers
from app.push.plan.values import ImageTarget, PushPlan
from app.push.run.blob_content import memory_of, read_whole
from app.push.run.blob_transfer import Key
from app.push.run.chunks import BlobExtent, InlineBytes, Pieces, read_uncompressed, read_verified
from app.push.run.task_pool import PushResources


@dataclass(frozen=True, slots=True)
class UnsentContent:
    """Verifies the unsent content of one run.

    `sources` are the archives of the plan, in order; `resources` limit how many blobs all pushes read at once.
    """

    plan: PushPlan
    sources: Sequence[ReadAt]
    resources: PushResources
    _locks: dict[Key, asyncio.Lock] = field(default_factory=dict)
    _verified: set[Key] = field(default_factory=set)

    async def verify(self, target: ImageTarget) -> None:
        """Verify the configs of an image and, if the plan says so, its layers; shared content once.

        Raises ArchiveError.
        """
        for content in self._wanted(target):
            key = (content.key, content.layer is not None)
            async with self._locks.setdefault(key, asyncio.Lock()):
                if key not in self._verified:
                    await self._verify(target.archive, content)
                    self._verified.add(key)

    def _wanted(self, target: ImageTarget) -> Iterator[ImageBlob]:
        archive, entry = self.plan.archives[target.archive], target.entry
        configs = {manifest.config.digest for manifest in manifests(archive, entry) if manifest.config is not None}
        configs |= {referrer.config.digest for referrer in referrers(archive, entry) if referrer.config is not None}
        if isinstance(entry.root, DockerImage):
            configs.add(entry.root.config.digest)
        for content in image_blobs(archive, entry):
            if self.plan.verify_layers or (content.layer is None and content.key in configs):
                yield content

    async def _verify(self, archive: int, content: ImageBlob) -> None:
        async with (
            self.resources.transfer_slots,
            self.resources.decoders.turn("", await self._memory(archive, content)),
        ):
            await read_whole(self._pieces(archive, content))

    async def _memory(self, archive: int, content: ImageBlob) -> int:
        return await memory_of(BlobExtent(self.sources[archive], content.extent, content.what), content.layer)

    def _pieces(self, archive: int, content: ImageBlob) -> Pieces:
        if content.inline is not None:
            return read_verified(BlobExtent(InlineBytes(content.inline), content.extent, content.what), content.key)
        source = BlobExtent(self.sources[archive], content.extent, content.what)
        return read_verified(source, content.key) if content.layer is None else read_uncompressed(source, content.layer)
