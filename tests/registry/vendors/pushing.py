"""A vendor on loopback and Tarmac's core before it, put together as the service does it; waiting costs no time.

async with opened(Harbor()) as ground:
    run = await ground.push(tar)
    ground.counted()                    # (method, kind) -> number, since the last `mark`
    await ground.pull("team/app", "1")  # every digest below it, each verified
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from app.archive import open_archive
from app.archive.model import Compression
from app.net.egress import parse_allowed_origin
from app.net.urls import parse_registry_url
from app.oci import Descriptor, Digest, Manifest, parse_manifest
from app.push import Destination, PushOptions, PushResources, execute, make_plan
from app.push.blob_cache.cache import KnownBlob
from app.registry import Registry
from app.registry.auth import CredentialSource
from app.registry.distribution.probe import RegistryReport
from app.registry.distribution.rate_limit import RequestThrottle
from app.registry.distribution.registry import HttpRegistry
from app.registry.distribution.settings import HttpRegistrySettings
from app.registry.wrappers.redact import RedactingRegistry
from app.registry.wrappers.retry import RetryingRegistry
from app.registry.wrappers.verify import Verification, VerifyingRegistry
from tests.push.given import Run
from tests.registry.vendors.vendor import Vendor
from tests.support.lapse import Lapse
from tests.support.opening import taken_in
from tests.support.scripted_registry import ScriptedRegistry, Seen, Step, served


def at_home(registry: Registry, home: str) -> Registry:
    """Return `registry` with its project called `team`."""
    return cast("Registry", _Home(registry, home))


class _Home:
    def __init__(self, registry: Registry, home: str) -> None:
        self._registry, self._home = registry, home

    def __getattr__(self, verb: str) -> Callable[..., Awaitable[Any]]:
        method: Callable[..., Awaitable[Any]] = getattr(self._registry, verb)
        return lambda *values, **named: method(*map(self._at, values), **named)

    def _at(self, value: object) -> object:
        is_inside = isinstance(value, str) and value.startswith("team/")
        return f"{self._home}/{str(value).removeprefix('team/')}" if is_inside else value


class LayerMemory:
    """What was learnt of layers, as a service keeps it."""

    def __init__(self) -> None:
        self._found: dict[tuple[Compression, Digest], KnownBlob] = {}

    async def lookup(
        self, registry: str, compression: Compression, diff_ids: Iterable[Digest]
    ) -> Mapping[Digest, KnownBlob]:
        found = {digest: self._found.get((compression, digest)) for digest in diff_ids}
        return {digest: layer for digest, layer in found.items() if layer is not None}

    async def record(self, registry: str, compression: Compression, found: Mapping[Digest, KnownBlob]) -> None:
        self._found |= {(compression, digest): layer for digest, layer in found.items()}


@dataclass
class Ground:
    vendor: Vendor
    servers: tuple[ScriptedRegistry, ...]  # the registry, its token service, its storage
    memory: LayerMemory = field(default_factory=LayerMemory)
    lapse: Lapse = field(default_factory=Lapse)
    marked: int = 0
    cut: int | None = None  # bytes of the next longer upload request after which the connection breaks

    @property
    def destination(self) -> Destination:
        """At the vendor's home; its path is a prefix of every repository."""
        return Destination("default", self.servers[0].address, self.vendor.home)

    @property
    def seen(self) -> list[Seen]:
        """Every request, to any server."""
        return [seen for server in self.servers for seen in server.requests]

    def step(self, seen: Seen) -> Step:
        """How a request is served."""
        if self.cut is None or int(seen.headers.get("content-length", "0")) <= self.cut:
            return served(self.vendor)
        cut, self.cut = self.cut, None
        return served(self.vendor, cut=cut)

    def mark(self) -> None:
        self.marked = len(self.servers[0].requests)

    @property
    def since(self) -> list[Seen]:
        """Requests to the registry since the last mark."""
        return self.servers[0].requests[self.marked :]

    def counted(self) -> Counter[tuple[str, str]]:
        """Requests to the registry since the last mark, by method and kind: ping, upload, blob, manifest, other."""
        return Counter((seen.method, kind_of(seen)) for seen in self.since)

    def payload(self) -> int:
        """Bytes of blob requests since the last mark."""
        return sum(int(seen.headers.get("content-length", "0")) for seen in self.since if kind_of(seen) == "upload")

    def opened(self, credentials: CredentialSource | None = None) -> HttpRegistry:
        """The registry as Tarmac speaks to it, to be used in `async with`."""
        url = parse_registry_url(f"{self.vendor.url}/{self.vendor.home}", "url")
        storage = frozenset({parse_allowed_origin(self.vendor.storage)} if self.vendor.storage_beside else ())
        settings = HttpRegistrySettings(
            url, credentials=credentials or self.vendor.credentials(), allowed_origins=storage
        )
        return HttpRegistry(
            settings, throttle=RequestThrottle(settings.limits, self.lapse.pause), pause=self.lapse.pause
        )

    async def check(self, credentials: CredentialSource | None = None) -> RegistryReport:
        async with self.opened(credentials) as registry:
            return await registry.check()

    @asynccontextmanager
    async def client(self, credentials: CredentialSource | None = None) -> AsyncIterator[Registry]:
        """The same, with all that the application wraps around it."""
        async with self.opened(credentials) as registry:
            yield self.wrapped(registry)

    def wrapped(self, registry: HttpRegistry) -> Registry:
        pause = self.lapse.pause
        discreet = RedactingRegistry(registry, registry.secrets)
        retrying = RetryingRegistry(discreet, pause=pause, is_answering=registry.is_answering)
        return VerifyingRegistry(retrying, Verification.BLOBS, pause)

    async def push(
        self,
        tar: bytes,
        options: Mapping[str, str] | None = None,
        *,
        credentials: CredentialSource | None = None,
        home: str | None = None,
    ) -> Run:
        """`home`: another project than the vendor's own."""
        where = self.destination
        destination = where if home is None else Destination(where.name, where.host, home)
        index, source = taken_in(tar)
        asked = PushOptions.parse({name: [value] for name, value in (options or {}).items()})
        run = Run(make_plan([open_archive(index, source)], asked, destination))
        resources = PushResources(blob_cache=self.memory)
        async with self.client(credentials) as registry:
            await execute(run.plan, [source], registry, run.events.append, resources=resources)
        return run

    async def pull(self, repository: str, reference: str) -> list[str]:
        """The digests of a manifest and of all below it, read back by the same account and verified."""
        async with self.client() as registry:
            return await _pulled(registry, repository, reference)


async def _pulled(registry: Registry, repository: str, reference: str) -> list[str]:
    stored = await registry.read_manifest(repository, reference)
    assert stored is not None, f"{repository}:{reference} is not there"
    assert Digest.of(stored.raw) == stored.digest
    manifest: Manifest = parse_manifest(stored.raw, Descriptor(stored.media_type, stored.digest, len(stored.raw)))
    found = [str(stored.digest)]
    for blob in manifest.blobs:
        assert await registry.read_config(repository, blob) is not None, f"{blob.digest} is not there"
        found.append(str(blob.digest))
    for child in manifest.manifests:
        found += await _pulled(registry, repository, str(child.digest))
    return found


def kind_of(seen: Seen) -> str:
    path = urlsplit(seen.target).path
    for part, kind in (("/uploads/", "upload"), ("/blobs/", "blob"), ("/manifests/", "manifest")):
        if part in path:
            return kind
    return "ping" if path == "/v2/" else "other"


@asynccontextmanager
async def opened(vendor: Vendor) -> AsyncIterator[Ground]:
    """On loopback: the registry, and the servers that some vendors have their token service and their storage on."""

    ground = Ground(vendor, ())

    def server() -> ScriptedRegistry:
        return ScriptedRegistry(route=ground.step, ping=True)

    async with server() as registry, server() as site, server() as storage:
        vendor.url, vendor.site, vendor.storage = registry.url, site.url, storage.url
        ground.servers = (registry, site, storage)
        yield ground
