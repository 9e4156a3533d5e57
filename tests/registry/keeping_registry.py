"""A registry that keeps what came of a PUT, whatever it is, under the digest that was said; Pulp is one. The digest of
what came before an empty PUT is compared."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.memory_registry import Answer, Manners, MemoryRegistry, Refused, Request
from tests.support.scripted_registry import Connection, Seen, Step, served


@dataclass(frozen=True)
class Keeping:
    """`asked`: what it answers if a blob that it has is to be mounted from where it is; of the others it opens a
    session, or answers 404 where that is 404. `states_sizes`: in its answers to HEAD and GET. `keeps_first`: what is
    sent under a digest that it has already changes nothing."""

    asked: int = 201
    states_sizes: bool = True
    keeps_first: bool = True


class KeepingRegistry(MemoryRegistry):
    def __init__(self, how: Keeping) -> None:
        super().__init__(Manners(resumes=False, mounts=how.asked == 201))
        self.how = how

    async def _upload(self, request: Request, name: str, session: str) -> Answer:
        if request.method != "PUT" or request.headers.get("content-length") == "0" or session not in self.sessions:
            return await super()._upload(request, name, session)
        came = self.sessions.pop(session)
        digest = request.query["digest"]
        try:
            async for chunk in request.body():
                came += chunk
        finally:
            self._keep(name, digest, bytes(came))
        return Answer(201, {"location": f"/v2/{name}/blobs/{digest}", **self._stated(digest)})

    def _finish(self, name: str, session: str, digest: str) -> Answer:
        before = self.repository(name).blobs.get(digest)
        answer = super()._finish(name, session, digest)
        if before is not None and self.how.keeps_first:
            self.repository(name).blobs[digest] = before
        return answer

    def _keep(self, name: str, digest: str, content: bytes) -> None:
        blobs = self.repository(name).blobs
        blobs[digest] = blobs.get(digest, content) if self.how.keeps_first else content

    def _start(self, request: Request, name: str) -> Answer:
        if "mount" in request.query and self.how.asked == 404:
            raise Refused(404, "BLOB_UNKNOWN")
        return super()._start(request, name)

    def step(self, seen: Seen, cut: int | None = None) -> Step:
        """`cut`: so many bytes of the body arrive."""
        plain = served(self, cut=cut)
        if self.how.states_sizes or "/blobs/sha256:" not in seen.path:
            return plain

        async def without_size(connection: Connection, seen: Seen) -> None:
            content = self.repository(seen.path.split("/blobs/")[0].removeprefix("/v2/")).blobs.get(
                seen.path.rpartition("/")[2]
            )
            if content is None:
                await plain(connection, seen)
                return
            connection.writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            connection.writer.write(b"" if seen.method == "HEAD" else content)
            await connection.writer.drain()
            connection.writer.close()

        return without_size
