"""One blob on its way to a registry: the ladder of `profile`, and going on where a connection broke."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from app.errors import Internal, RegistryError, RegistryFault, RegistryRejected
from app.registry import BlobContent
from app.registry.backoff import Pause
from app.registry.client import Body, Call
from app.registry.digests import compare
from app.registry.ending import carried_out
from app.registry.endpoint import refuse_page
from app.registry.gate import Gate
from app.registry.opening import Openings
from app.registry.profile import Profile, Tried, Way, after_refusal, chunk_min_length, is_lost, is_too_large
from app.registry.profiles import LearntProfile
from app.registry.reading import NO_BODY, OCTETS, Reading, part_of, ranged, whole
from app.registry.reply import Reply, error_of, read_complaint
from app.registry.stored_blobs import Blob, StoredBlobs
from app.registry.upload_session import RangeRefused, SessionProgress, UploadSession
from app.registry.wire import with_digest

WORTH_ASKING = 128 << 10  # bytes given to a session; what has less is sent anew for the price of asking
MOST_FRUITLESS = 2  # times a session is gone on with that has not gained WORTH_ASKING bytes since
_TAKEN = frozenset({200, 201, 202, 204})  # a PATCH: ECR says 201, others 204
_STORED = frozenset({200, 201, 204})
_WRONG = frozenset({"DIGEST_INVALID", "SIZE_INVALID"})


class _RefusedError(Exception):
    """The registry does not take this request, and asking again would not change its mind."""

    def __init__(self, reply: Reply, error: RegistryError, tried: Tried) -> None:
        super().__init__()
        self.reply, self.error, self.tried = reply, error, tried


class Uploader:
    """Sends blobs to one registry, and remembers what that teaches."""

    def __init__(self, stored: StoredBlobs, gate: Gate, pause: Pause) -> None:
        self.stored, self.gate, self.pause = stored, gate, pause
        self.openings = Openings(stored)
        self.progress = SessionProgress(stored.endpoint, pause)
        self.learnt = LearntProfile(stored.endpoint.name, stored.endpoint.settings.profiles)

    async def push(self, repository: str, content: BlobContent) -> Blob:
        """Send one blob; its digest and size. Raises RegistryError and what the content raises."""
        profile = await self.learnt.current()
        reading = Reading(content, self.gate)
        try:
            return await _Upload(self, repository, reading, profile).run()
        finally:
            await reading.close()


class _Upload:
    def __init__(self, uploader: Uploader, repository: str, reading: Reading, profile: Profile) -> None:
        self._uploader, self._endpoint = uploader, uploader.stored.endpoint
        self._repository, self._content, self._reading = repository, reading.content, reading
        self._profile = profile
        self._cleanup = self._endpoint.settings.timeouts.cleanup
        self._damaged = self._streamed = False

    async def run(self) -> Blob:
        refused: RegistryError | None = None
        while True:
            way = self._way()
            if way is None:
                raise refused or self._too_large()
            if way is Way.MEASURE:
                await self._reading.measure()
                continue
            try:
                blob = await self._attempt(way)
            except _RefusedError as refusal:
                refused = refusal.error
                self._learn(refusal)
                continue
            await self._uploader.learnt.learn(self._profile)
            return blob

    def _way(self) -> Way | None:
        """Of what may turn out not to be wanted, the bytes go before the request that makes a blob of them."""
        size, profile = self._content.size, self._profile
        held_back = None if self._content.is_wanted else replace(profile, put=False).way(size)
        return held_back or profile.way(size)

    def _too_large(self) -> RegistryRejected:
        """As an earlier blob has taught."""
        return RegistryRejected(
            f"{self._endpoint.name} takes no request of more than {self._profile.most} bytes, and no upload in chunks; "
            f"{self._content.digest} has {self._content.size}. Raise the limit of the proxy before it"
        )

    def _learn(self, refusal: _RefusedError) -> None:
        """What to do otherwise. Raises what the refusal is, where that is nothing."""
        reply = refusal.reply
        if is_lost(reply, refusal.tried):
            raise RegistryFault(f"{refusal.error}; the registry has lost the upload session") from None
        learnt = after_refusal(self._profile, refusal.tried, reply)
        if learnt is not None:
            self._profile = learnt
            return
        if read_complaint(reply.body).code not in _WRONG or self._damaged:
            raise refusal.error from None
        self._damaged = True  # what was read was right, so it was damaged on the way: once more

    async def _attempt(self, way: Way) -> Blob:
        """In a session of its own, which is closed or cancelled in the end."""
        unless = self._blob() if self._content.may_be_there else None
        started, self._profile = await self._uploader.openings.open(self._repository, unless, self._profile)
        if started is None:
            self._content.found()
            return self._blob()
        least = chunk_min_length(started.header("oci-chunk-min-length"))
        place = UploadSession(await self._endpoint.location(started), least)
        self._reading.furthest = 0
        done = False
        try:
            blob = await self._deliver(place, way)
            done = True
            return blob
        finally:
            if not done:  # failed or cancelled
                await self._endpoint.abandon(self._repository, place.location)

    async def _deliver(self, place: UploadSession, way: Way) -> Blob:
        fruitless = 0
        while True:
            began, counted = place.offset, self._reading.counted
            try:
                return await self._send(place, way)
            except RegistryError as error:
                if not error.retryable or self._reading.furthest < WORTH_ASKING:
                    raise
                held = await self._uploader.progress.ask(self._repository, place, self._reading)
                if held is None:
                    return await self._stored_after_all(error)
                if isinstance(error, RangeRefused):
                    held = self._uploader.progress.correct(place, held)
                # its own word of what it read, where the connection broke with bytes on their way
                self._reading.count(max(held - began, 0) - (self._reading.counted - counted))
                fruitless += held - began < WORTH_ASKING
                if fruitless > MOST_FRUITLESS:
                    raise
                place.offset, place.resumed = held, True
                way = self._profile.rest(self._content.size, held)

    async def _send(self, place: UploadSession, way: Way) -> Blob:
        """From what the session holds to its end."""
        size = self._content.size
        if way is Way.PUT and size is not None:
            return await self._close(place, way, size)
        if size is None or place.offset < size:
            await (self._send_chunks(place) if way is Way.CHUNKS else self._patch_rest(place, way))
        return await self._close(place, way, 0)

    async def _patch_rest(self, place: UploadSession, way: Way) -> None:
        size, start = self._content.size, place.offset
        headers = dict(OCTETS)
        if size is not None:
            headers["Content-Length"] = str(size - start)
            if place.resumed:
                headers["Content-Range"] = f"{start}-{size - 1}"
        self._streamed = size is None and start == 0  # also when the size is known before all of it is sent
        body = self._reading.stream if self._streamed else lambda: self._reading.part(start, size)
        try:
            await self._patch(place, headers, body, way)
        finally:
            self._streamed = False
        place.offset = self._content.size or self._reading.furthest

    async def _send_chunks(self, place: UploadSession) -> None:
        """A chunk of content whose size is not known yet is held in memory, for its length must be said first."""
        size = self._content.size
        most = self._profile.chunk(size, self._endpoint.settings.chunk_bytes, place.least)
        while size is None or place.offset < size:
            start = place.offset
            if size is None:
                data = await self._reading.take(start, most)
                if not data:
                    return
                end, body = start + len(data), data
                await self._patch(place, ranged(start, end), body, Way.CHUNKS)
            else:
                end = min(start + most, size)
                part = part_of(self._reading, start, end)
                await self._patch(place, ranged(start, end), part, Way.CHUNKS)
            place.offset = end

    async def _patch(self, place: UploadSession, headers: dict[str, str], body: bytes | Body, way: Way) -> None:
        await carried_out(self._patched(place, headers, body, way), self._wind_up, self._cleanup)

    async def _patched(self, place: UploadSession, headers: dict[str, str], body: bytes | Body, way: Way) -> None:
        reply = await self._endpoint.send(Call("PATCH", place.location, headers, body=body), self._repository)
        if reply.status in _TAKEN and reply.header("location") is not None:
            place.location = await self._endpoint.location(reply)
        if self._reading.failure is not None:
            raise self._reading.failure
        length = headers.get("Content-Length")
        self._take(reply, _TAKEN, Tried(way, self._reading.furthest if length is None else int(length)))

    def _wind_up(self) -> bool:
        """Whether the request under way can be brought to its end: its body is a stream, or has been given."""
        size, given = self._content.size, self._reading.furthest
        if size is not None and not self._streamed:
            return given >= size
        if given:
            self._reading.stop()
        return given > 0

    async def _close(self, place: UploadSession, way: Way, size: int) -> Blob:
        """Close the session with the PUT; `size` is that of its body: all of the content, or nothing."""
        await self._content.until_wanted()
        blob = self._blob()
        headers, body = NO_BODY if way is not Way.PUT else whole(self._reading, size)
        call = Call("PUT", with_digest(place.location, blob[0]), headers, body=body)
        reply = await carried_out(self._endpoint.send(call, self._repository), self._wind_up, self._cleanup)
        self._take(reply, _STORED, Tried(way, size))
        compare(reply, blob[0])
        return blob

    def _blob(self) -> Blob:
        digest, size = self._content.digest, self._content.size
        if digest is None or size is None:
            raise Internal("content was read to its end and yet has no digest and size")
        return digest, size

    def _take(self, reply: Reply, good: frozenset[int], tried: Tried) -> None:
        if reply.status in good:
            refuse_page(reply)
            return
        self._reading.count_refusal(reply)
        error = error_of(reply, datetime.now(UTC))
        if reply.status in {401, 403} or (error.retryable and reply.status != 501):
            raise error
        if reply.status == 416 and not is_too_large(reply):  # it holds more or less than we think: it can be asked
            raise RangeRefused(f"{error}; the registry holds another part of the upload than was sent")
        raise _RefusedError(reply, error, tried)

    async def _stored_after_all(self, error: RegistryError) -> Blob:
        """A session that is gone may have been closed by the very request whose answer was lost."""
        digest, size = self._content.digest, self._content.size
        all_given = digest is not None and size is not None and self._reading.furthest >= size
        if all_given and await self._uploader.stored.has(self._repository, *self._blob()):
            return self._blob()
        raise error
