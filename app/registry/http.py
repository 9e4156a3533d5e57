"""HttpRegistry: any registry that speaks the distribution-spec. A new blob costs POST and PUT."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from urllib.parse import quote

from app.errors import Internal, MalformedArchive, RegistryError, RegistryFault, RegistryRejected, SizeMismatch
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, media_types
from app.registry import MAX_CONFIG_BYTES, BlobContent, StoredManifest, check_config
from app.registry.client import NO_HEADERS, Call, HttpClient, HttpSettings, Transport
from app.registry.egress import check_target
from app.registry.reply import Reply, error_of
from app.registry.session import Session
from app.registry.wire import Origin, resolve_location, with_digest

_ACCEPT = {
    "Accept": ", ".join(
        (media_types.OCI_MANIFEST, media_types.OCI_INDEX, media_types.DOCKER_MANIFEST, media_types.DOCKER_LIST, "*/*")
    )
}
_OCTETS = {"Content-Type": "application/octet-stream"}
_TAKEN = frozenset({200, 201, 202, 204})  # a PATCH: ECR says 201, others 204
_STORED = frozenset({200, 201, 204})
_SILENT = frozenset({403, 405})  # to a HEAD: Artifactory answers 403 for what is not there (RTFACT-13797)


class HttpRegistry:
    """A `Registry` over HTTP. Open before use and close after it, or use it in `async with`."""

    def __init__(self, settings: HttpSettings, transport: Transport | None = None) -> None:
        self._settings = settings
        self._client = HttpClient(settings, transport)
        self._session = Session(settings, self._client)
        self._cleanups: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """host[:port], as image references show it."""
        return self._settings.url.name

    async def open(self) -> None:
        """Nothing is sent yet. Raises InvalidRequest where a certificate file cannot be used."""
        await self._client.open()

    async def close(self) -> None:
        """Waits for the cancelling of upload sessions, which has its own short time limit."""
        await asyncio.gather(*self._cleanups)
        await self._client.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def check(self) -> None:
        """Whether the registry is there and takes the credentials. Raises RegistryError, saying why not."""
        reply = await self._session.send(Call("GET", f"{await self._session.origin()}/v2/"), "", ())
        _expect(reply, frozenset({200}))

    async def blob_exists(self, repository: str, digest: Digest) -> bool:
        reply = await self._send("HEAD", repository, f"blobs/{digest}")
        if reply.status == 404 or reply.status in _SILENT:  # then the POST's answer says in words what is wrong
            return False
        _expect(reply, frozenset({200}))
        return True

    async def mount_blob(self, repository: str, digest: Digest, source: str) -> bool:
        """A registry that cannot mount opens an upload session instead; it is cancelled. No refusal is fatal."""
        url = await self._url(
            repository, f"blobs/uploads/?mount={quote(str(digest), safe='')}&from={quote(source, safe='')}"
        )
        scopes = (*_scopes(repository), f"repository:{source}:pull")
        try:
            reply = await self._session.send(Call("POST", url), repository, scopes)
            if reply.status == 202:
                await self._abandon(repository, await self._location(reply))
        except RegistryError:
            return False
        return reply.status == 201

    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        started = await self._send("POST", repository, "blobs/uploads/")
        _expect(started, frozenset({202}))
        location = await self._location(started)
        pushed = None
        try:
            if content.digest is None or content.size is None:
                location = await self._stream(repository, content, location)
                pushed = await self._commit(repository, content, Call("PUT", location))
            else:
                headers = {**_OCTETS, "Content-Length": str(content.size)}
                put = Call("PUT", location, headers, body=lambda: _exactly(content, content.size))
                pushed = await self._commit(repository, content, put)
            return pushed
        finally:
            if pushed is None:  # failed or cancelled
                await self._abandon(repository, location)

    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        reply = await self._send("HEAD", repository, f"manifests/{reference}")
        if reply.status == 404 or reply.status in _SILENT:
            return None
        _expect(reply, frozenset({200}))
        digest = _stated_digest(reply)
        if digest is not None:
            return digest
        stored = await self.read_manifest(repository, reference)
        return stored.digest if stored else None

    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        call = Call("GET", await self._url(repository, f"manifests/{reference}"), _ACCEPT, limit=MAX_MANIFEST_BYTES)
        reply = await self._session.send(call, repository, _scopes(repository))
        if reply.status == 404:
            return None
        _expect(reply, frozenset({200}))
        wanted = Digest.parse(reference) if ":" in reference else _stated_digest(reply)
        digest = _digest_like(wanted, reply.body)
        if wanted not in {None, digest}:
            raise RegistryFault(f"{self.name} answers with {digest} where {repository} has {wanted}; it may be damaged")
        media_type = (reply.header("content-type") or _OCTETS["Content-Type"]).partition(";")[0].strip()
        return StoredManifest(media_type, digest, reply.body)

    async def read_config(self, repository: str, config: Descriptor) -> bytes | None:
        if config.size > MAX_CONFIG_BYTES:
            raise RegistryRejected(f"{repository}: config {config.digest} has {config.size} bytes, which is no config")
        call = Call("GET", await self._url(repository, f"blobs/{config.digest}"), limit=MAX_CONFIG_BYTES)
        reply = await self._session.send(call, repository, _scopes(repository))
        if reply.status == 404:
            return None
        _expect(reply, frozenset({200}))
        return check_config(config, reply.body, self.name)

    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        descriptor, raw = manifest
        call = Call(
            "PUT",
            await self._url(repository, f"manifests/{reference}"),
            {"Content-Type": descriptor.media_type},
            body=raw,
            read_timeout=self._settings.timeouts.manifest,
        )
        reply = await self._session.send(call, repository, _scopes(repository))
        _expect(reply, frozenset({200, 201, 202}))
        _compare(reply, descriptor.digest)
        return reply.header("oci-subject") is not None

    async def _stream(self, repository: str, content: BlobContent, location: str) -> str:
        """Send content whose size is not known yet; where the session goes on."""
        call = Call("PATCH", location, _OCTETS, body=lambda: _exactly(content, None))
        reply = await self._session.send(call, repository, _scopes(repository))
        _expect(reply, _TAKEN)
        return location if reply.header("location") is None else await self._location(reply)

    async def _commit(self, repository: str, content: BlobContent, put: Call) -> tuple[Digest, int]:
        """Close a session with the PUT, which holds the body or nothing."""
        digest, size = content.digest, content.size
        if digest is None or size is None:
            raise Internal("content was read to its end and yet has no digest and size")
        call = replace(put, url=with_digest(put.url, digest))
        reply = await self._session.send(call, repository, _scopes(repository))
        _expect(reply, _STORED)
        _compare(reply, digest)
        return digest, size

    async def _abandon(self, repository: str, location: str) -> None:
        """Cancel an upload session, even while being cancelled; whether that works is the registry's affair."""
        task = asyncio.create_task(self._delete(repository, location))
        self._cleanups.add(task)
        task.add_done_callback(self._cleanups.discard)
        await asyncio.shield(task)

    async def _delete(self, repository: str, location: str) -> None:
        try:
            async with asyncio.timeout(self._settings.timeouts.cleanup):
                await self._session.send(Call("DELETE", location), repository, _scopes(repository))
        except (RegistryError, TimeoutError):
            return

    async def _location(self, reply: Reply) -> str:
        origin = await self._session.origin()
        value = reply.header("location")
        if value is None:
            raise RegistryFault(
                f"{self.name} answered {reply.status} to {reply.method} without a Location; is it a registry?"
            )
        location = resolve_location(reply.url, value, origin)
        check_target(Origin.of(location, "the Location"), origin, "the upload Location")
        return location

    async def _send(self, method: str, repository: str, rest: str) -> Reply:
        headers = _ACCEPT if rest.startswith("manifests/") else NO_HEADERS
        call = Call(method, await self._url(repository, rest), headers)
        return await self._session.send(call, repository, _scopes(repository))

    async def _url(self, repository: str, rest: str) -> str:
        return f"{await self._session.origin()}/v2/{repository}/{rest}"


def _scopes(repository: str) -> tuple[str, ...]:
    return (f"repository:{repository}:pull,push",)


async def _exactly(content: BlobContent, size: int | None) -> AsyncGenerator[bytes, None]:
    """The chunks of `content`; where there are more or fewer than `size` bytes the request breaks off, so that the
    registry never sees a body that ends well."""
    chunks, sent = content.chunks(), 0
    try:
        async for chunk in chunks:
            sent += len(chunk)
            if size is not None and sent > size:
                raise SizeMismatch(f"blob {content.digest} has more than the {size} bytes it is described with")
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    if size is not None and sent != size:
        raise SizeMismatch(f"blob {content.digest} has {sent} bytes where its descriptor says {size}")


def _expect(reply: Reply, good: frozenset[int]) -> None:
    if reply.status not in good:
        raise error_of(reply, datetime.now(UTC))


def _stated_digest(reply: Reply) -> Digest | None:
    """Docker-Content-Digest, None where it is missing or not readable (distribution-spec made it optional)."""
    try:
        return Digest.parse(reply.header("docker-content-digest"))
    except MalformedArchive:
        return None


def _digest_like(wanted: Digest | None, raw: bytes) -> Digest:
    """Of at most 4 MiB, which takes some 2 ms."""
    if wanted is None:
        return Digest.of(raw)
    hasher = wanted.hasher()
    hasher.update(raw)
    return Digest(wanted.algorithm, hasher.hexdigest())


def _compare(reply: Reply, digest: Digest) -> None:
    stated = _stated_digest(reply)
    if stated is not None and stated.algorithm == digest.algorithm and stated != digest:
        raise RegistryFault(f"the registry says it stored {stated} where {digest} was sent; it may be damaged")
