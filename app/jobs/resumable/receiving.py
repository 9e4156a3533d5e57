"""The bytes of one request on their way to the end of their file."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, Callable

from app.jobs.resumable.state import Proof
from app.jobs.resumable.tally import Tally
from app.spool.arriving import Appending

BATCH_BYTES = 1 << 20  # as the spool's: a thread call costs about 50 µs
HASHES = ("sha1", "sha256", "sha512", "md5")  # the first is what tus asks every server for


class Receiving:
    """`count`: bytes taken from the client. `room_for` raises SpoolFull; `told` is given `count` after every batch."""

    def __init__(
        self, file: Appending, tally: Tally | None, room_for: Callable[[int], None], told: Callable[[int], None]
    ) -> None:
        self.count = 0
        self._file, self._tally, self._room_for, self._told = file, tally, room_for, told
        self._proof: Proof | None = None

    def ask_for(self, proof: Proof | None) -> None:
        """These bytes must have it; `proven` says whether they do."""
        self._proof = proof
        self._hash = None if proof is None else hashlib.new(proof.algorithm, usedforsecurity=False)

    @property
    def proven(self) -> bool:
        return self._proof is None or self._hash is None or self._hash.digest() == self._proof.digest

    async def pump(self, chunks: AsyncIterable[bytes], check: Callable[[int], None]) -> None:
        """To the end of `chunks`. Whatever breaks, what came until then is written: the client need not send it again.
        `check` is given the count before bytes are taken, and raises where they are too many."""
        loop = asyncio.get_running_loop()
        flying: asyncio.Future[None] = loop.create_future()
        flying.set_result(None)
        batch: list[bytes] = []
        size = 0
        try:
            async for chunk in chunks:
                check(self.count + len(chunk))
                self.count += len(chunk)
                batch.append(chunk)
                size += len(chunk)
                if size >= BATCH_BYTES:
                    await flying
                    flying = loop.run_in_executor(None, self._write, batch)
                    batch, size = [], 0
            await flying
        except BaseException:
            await asyncio.wait([flying])
            if flying.cancelled() or flying.exception() is None:
                await asyncio.wait([loop.run_in_executor(None, self._write, batch)])
            raise
        await asyncio.to_thread(self._write, batch)

    def _write(self, batch: list[bytes]) -> None:
        self._room_for(sum(map(len, batch)))
        offset = self._file.size
        self._file.write(batch)
        for chunk in batch:
            if self._proof is not None and self._hash is not None:
                self._hash.update(chunk)
            if self._tally is not None:
                self._tally.feed(offset, chunk)
            offset += len(chunk)
        self._told(self._file.size)
