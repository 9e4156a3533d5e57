"""Memory limit of all decompression in the process: windows of zstd, dictionaries of xz."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

DECODER_BYTES = 64 << 20  # in addition one decoder at a time may use any amount, so at most 132 MiB
SHARE_OF_ONE = 2  # a token may use half of it


class DecoderMemory:
    """Lends `total` bytes to decoders.

    A decoder that waits for a client is lent memory only if it is free; otherwise its input is stored as received and
    decompressed from there. A decoder that reads a file waits in a queue. One of these may always run, so slow clients
    cannot block it. `share` is the name of a token, or "" without tokens.
    """

    def __init__(self, total: int = DECODER_BYTES) -> None:
        self._total = total
        self._used = 0
        self._by_share: Counter[str] = Counter()  # bytes
        self._reading: Counter[str] = Counter()  # decoders that currently read files
        self._waiting: list[tuple[str, int, asyncio.Future[None]]] = []  # in order of arrival

    @property
    def used(self) -> int:
        return self._used

    def is_free(self, share: str, size: int) -> bool:
        """Return whether a decoder that waits for a client of `share` may use `size` bytes now."""
        most = self._total // SHARE_OF_ONE if share else self._total
        return self._used + size <= self._total and self._by_share[share] + size <= most

    @contextmanager
    def lent(self, share: str, size: int) -> Iterator[None]:
        """Reserve `size` bytes, which `is_free` has reported as available."""
        self._take(share, size)
        try:
            yield
        finally:
            self._give_back(share, size)

    @asynccontextmanager
    async def turn(self, share: str, size: int) -> AsyncIterator[None]:
        """Reserve `size` bytes for a decoder that reads a file, waiting if necessary.

        The share with the fewest running decoders is served first; among equals, the first to wait.
        """
        if not size:
            yield
            return
        await self._wait_for_turn(share, size)
        try:
            yield
        finally:
            self._finish(share, size)

    async def _wait_for_turn(self, share: str, size: int) -> None:
        entry = (share, size, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._admit()
        try:
            await entry[2]
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._admit()  # another may fit now
            else:  # admitted at the same moment
                self._finish(share, size)
            raise

    def _admit(self) -> None:
        """Admit waiting decoders. A large one is not overtaken by smaller ones."""
        self._waiting = [waiting for waiting in self._waiting if not waiting[2].done()]  # drop cancelled ones
        while self._waiting:
            entry = min(self._waiting, key=lambda waiting: self._reading[waiting[0]])
            share, size, admitted = entry
            if self._reading.total() and self._used + size > self._total:
                return
            self._waiting.remove(entry)
            self._reading[share] += 1
            self._take(share, size)
            admitted.set_result(None)

    def _finish(self, share: str, size: int) -> None:
        self._reading[share] -= 1
        self._reading += Counter()  # remove zeros
        self._give_back(share, size)

    def _take(self, share: str, size: int) -> None:
        self._used += size
        self._by_share[share] += size

    def _give_back(self, share: str, size: int) -> None:
        self._used -= size
        self._by_share[share] -= size
        self._by_share += Counter()
        self._admit()


__all__ = ["DECODER_BYTES", "DecoderMemory"]
