"""HttpRegistry: any registry that implements the distribution-spec. A new blob costs POST and PUT."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Self

from app.errors import RegistryFault, RegistryRejected
from app.net.backoff import REAL, TimeSource
from app.net.client import HttpClient, Request, Transport
from app.oci import MAX_MANIFEST_BYTES, Descriptor, Digest, media_types
from app.registry import MAX_CONFIG_BYTES, BlobContent, StoredManifest, check_config
from app.registry.distribution.digest_headers import digest_header, digest_with_algorithm_of
from app.registry.distribution.endpoints import DistributionEndpoints, expect, is_not_found
from app.registry.distribution.manifest_push import ManifestPuts
from app.registry.distribution.probe import RegistryReport, probe
from app.registry.distribution.push_right import PushRight, advise_other, find_push_right
from app.registry.distribution.rate_limit import RequestThrottle
from app.registry.distribution.rights import explain_rights
from app.registry.distribution.session import AuthSession
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.uploads.blob_upload import BlobUploader
from app.registry.uploads.body import OCTETS
from app.registry.uploads.mount import Mounts
from app.registry.uploads.spare_session import SpareSession
from app.registry.uploads.stored_blobs import StoredBlobs
from app.registry.uploads.unverified_blobs import UnprovenBlobs
from app.registry.wrappers.redact import SecretScrubber

_ACCEPT = {
    "Accept": ", ".join(
        (media_types.OCI_MANIFEST, media_types.OCI_INDEX, media_types.DOCKER_MANIFEST, media_types.DOCKER_LIST, "*/*")
    )
}


class HttpRegistry:
    """A `Registry` over HTTP. Open it before use and close it afterwards, or use `async with`."""

    def __init__(
        self,
        settings: HttpRegistrySettings,
        transport: Transport | None = None,
        *,
        throttle: RequestThrottle | None = None,
        pause: TimeSource = REAL,
    ) -> None:
        """Create a registry. `throttle` is shared by all registries with the same host."""
        self._settings, self._pause = settings, pause
        self._client = HttpClient(settings, transport)
        throttle = throttle or RequestThrottle(settings.limits, pause)
        self._session = AuthSession(settings, self._client, throttle)
        self._endpoint = DistributionEndpoints(settings, self._session, pause)
        unproven = UnprovenBlobs(settings.unproven_dir, self.name, pause)
        self._stored = StoredBlobs(self._endpoint, unproven)
        self._manifests = ManifestPuts(self._stored, throttle.manifests, pause)
        self._uploader = BlobUploader(self._stored, throttle, pause)
        self._mounts = Mounts(self._stored, self._uploader.learnt)

    @property
    def name(self) -> str:
        """Return host[:port], as in image references."""
        return self._endpoint.name

    async def open(self) -> None:
        """Load the TLS files; nothing is sent yet. Raises InvalidRequest if a certificate file cannot be used."""
        await self._client.open()

    async def finish(self) -> None:
        """Wait for background work.

        Sessions are cancelled, each within a short timeout, and markers of unproven blobs are written.
        """
        await self._endpoint.wait_for_cleanup()
        await self._stored.unproven.finish()

    async def close(self) -> None:
        await self.finish()
        await self._client.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def session(self) -> AuthSession:
        return self._session

    @property
    def secrets(self) -> SecretScrubber:
        """Return the redactor with the secrets of this registry."""
        return self._session.secrets

    async def check(self) -> RegistryReport:
        """Probe the registry. Raises RegistryError if it is unreachable or rejects the credentials."""
        return await probe(self._session, self._settings.url)

    async def is_answering(self) -> bool:
        """Return whether the registry currently answers `/v2/` properly. Raises nothing."""
        return await self._session.is_answering()

    async def find_push_right(self, repository: str) -> PushRight:
        """Return whether the account may push to `repository`, without side effects.

        Raises RegistryError if it may not.
        """
        with advise_other():
            return await self._find_push_right(repository)

    @explain_rights
    async def _find_push_right(self, repository: str) -> PushRight:
        endpoint = DistributionEndpoints(replace(self._settings, create_repository=None), self._session, self._pause)
        try:
            return await find_push_right(endpoint, repository)
        finally:
            await endpoint.wait_for_cleanup()

    @explain_rights
    async def blob_exists(self, repository: str, digest: Digest, size: int | None = None) -> bool:
        return await self._stored.has(repository, digest, size)

    async def verify_blob(self, repository: str, blob: Descriptor, *, read: bool) -> None:
        await self._stored.verify(repository, (blob.digest, blob.size), read=read)

    async def mount_blob(
        self,
        repository: str,
        digest: Digest,
        source: str,
        size: int | None = None,
        spare: SpareSession | None = None,
    ) -> bool:
        return await self._mounts.mount(repository, digest, source, size, spare)

    @explain_rights
    async def push_blob(self, repository: str, content: BlobContent) -> tuple[Digest, int]:
        return await self._uploader.push(repository, content)

    @explain_rights
    async def find_manifest(self, repository: str, reference: str) -> Digest | None:
        request = Request("HEAD", await self._endpoint.url(repository, f"manifests/{reference}"), _ACCEPT)
        response = await self._endpoint.send(request, repository)
        if is_not_found(response):
            return None
        if response.status in {400, 401}:  # a rejected HEAD has no error message, a rejected GET has one
            await self.read_manifest(repository, reference)
        expect(response, frozenset({200}))
        digest = digest_header(response)
        if digest is not None:
            return digest
        stored = await self.read_manifest(repository, reference)
        return stored.digest if stored else None

    @explain_rights
    async def read_manifest(self, repository: str, reference: str) -> StoredManifest | None:
        url = await self._endpoint.url(repository, f"manifests/{reference}")
        request = Request("GET", url, _ACCEPT, limit=MAX_MANIFEST_BYTES)
        response = await self._endpoint.send(request, repository)
        if response.status == 404:
            return None
        expect(response, frozenset({200}))
        wanted = Digest.parse(reference) if ":" in reference else digest_header(response)
        digest = digest_with_algorithm_of(wanted, response.body)
        if wanted not in {None, digest}:
            raise RegistryFault(
                f"{self.name} sent {digest} instead of {wanted} in {repository}; the content may be damaged"
            )
        media_type = (response.header("content-type") or OCTETS["Content-Type"]).partition(";")[0].strip()
        return StoredManifest(media_type, digest, response.body)

    async def read_config(self, repository: str, config: Descriptor) -> bytes | None:
        if config.size > MAX_CONFIG_BYTES:
            raise RegistryRejected(
                f"{repository}: config {config.digest} is too large ({config.size} bytes); at most {MAX_CONFIG_BYTES} "
                "bytes are read"
            )
        request = Request("GET", await self._endpoint.url(repository, f"blobs/{config.digest}"), limit=MAX_CONFIG_BYTES)
        response = await self._endpoint.send(request, repository)
        if response.status == 404:
            return None
        expect(response, frozenset({200}))
        return check_config(config, response.body, self.name)

    async def verify_manifest(self, repository: str, manifest: tuple[Descriptor, bytes]) -> None:
        return

    @explain_rights
    async def push_manifest(self, repository: str, reference: str, manifest: tuple[Descriptor, bytes]) -> bool:
        response = await self._manifests.put(repository, reference, manifest)
        return response.header("oci-subject") is not None
