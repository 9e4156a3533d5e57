"""JobRuntime: the dependencies of the job layer, filled in by the composition root."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field

from app.archive import DEFAULT_LIMITS, Limits
from app.jobs.audit_retention import AuditRetention
from app.jobs.deliveries.retention import DeliveryRetention
from app.jobs.heartbeat import ReplicaHeartbeat, SweepSchedule
from app.jobs.leases import AcceptanceClock, LocalTagLeases, TagLeases
from app.jobs.model import Clock, utc_now
from app.jobs.outage import FAIL_AT_ONCE, PausedJobs, RetrySchedule
from app.jobs.queue import JobQueue
from app.jobs.registries import ConfiguredRegistry
from app.jobs.sources.paths import AllowedRoots
from app.jobs.stored_bytes import StoredBytes
from app.jobs.tracking.tracker import JobTracker
from app.jobs.uploads.early_pushes import EarlyPushes
from app.jobs.uploads.index_memory import IndexMemory
from app.jobs.uploads.kept_plans import KeptPlans
from app.push import PushResources
from app.push.decoder_memory import DecoderMemory
from app.push.signatures.policy import SignaturePolicy
from app.spool import OpenStore, Spool, SpooledFile, StreamFilter


@dataclass(frozen=True, slots=True)
class JobRuntime:
    """The dependencies of the job layer.

    `clock` is the time of day; `elapsed` is monotonic, in seconds. `max_archive_bytes` limits one archive as sent.
    `resources` are the push resources that all running jobs share. `schedule` says how long an outage of a registry is
    waited for. `replicas` is set if several replicas form one service; `sweeps` then says when files of dead ones are
    deleted from the spool. `early` pushes archives during their upload. `audit` deletes old entries of the audit
    trail. `open_store` opens the image store, if there is one."""

    tracker: JobTracker
    spool: Spool
    queue: JobQueue
    registries: Mapping[str, ConfiguredRegistry]
    roots: AllowedRoots = field(default_factory=lambda: AllowedRoots(()))
    clock: Clock = utc_now
    elapsed: Callable[[], float] = time.monotonic
    limits: Limits = DEFAULT_LIMITS
    max_archive_bytes: int | None = None
    resources: PushResources = field(default_factory=PushResources)
    leases: TagLeases = field(default_factory=LocalTagLeases)
    arrivals: AcceptanceClock = field(default_factory=AcceptanceClock)
    schedule: RetrySchedule = FAIL_AT_ONCE
    paused: PausedJobs = field(default_factory=PausedJobs)
    replicas: ReplicaHeartbeat | None = None
    sweeps: SweepSchedule = field(default_factory=SweepSchedule)
    signatures: tuple[SignaturePolicy, ...] = ()
    early: EarlyPushes = field(default_factory=EarlyPushes)
    plans: KeptPlans = field(default_factory=KeptPlans)
    decoders: DecoderMemory = field(default_factory=DecoderMemory)
    stored: StoredBytes = field(default_factory=StoredBytes)
    indexes: IndexMemory = field(default_factory=IndexMemory)
    audit: AuditRetention | None = None
    deliveries: DeliveryRetention | None = None
    open_store: OpenStore | None = None

    async def save(
        self, share: str, name: str, chunks: AsyncIterable[bytes], tap: StreamFilter, expected_bytes: int = 0
    ) -> SpooledFile:
        """Save in the spool, and count the bytes as stored for the token `share`.

        Raises QuotaExceeded and what the spool raises."""
        try:
            self.stored.check(share, expected_bytes)
            return await self.spool.save(name, chunks, self.stored.counted(share, name, tap), expected_bytes)
        except BaseException:
            self.stored.forget(name)
            raise

    async def discard(self, file: SpooledFile) -> None:
        """Delete an owned file from the spool and from the count of its token."""
        await self.spool.discard(file)
        if file.owned:
            self.stored.forget(file.name)
