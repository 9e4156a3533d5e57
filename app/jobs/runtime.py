"""What jobs are done with, as one value: the composition root fills it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field

from app.archive import DEFAULT_LIMITS, Limits
from app.jobs.audit_retention import AuditRetention
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
from app.push import PushResources
from app.push.decoder_memory import DecoderMemory
from app.push.signatures.policy import SignaturePolicy
from app.spool import Spool, SpooledFile, StreamFilter


@dataclass(frozen=True, slots=True)
class JobRuntime:
    """`clock` is the time of day; `elapsed`: seconds that only grow.

    `max_archive_bytes` bounds one archive as it is sent; `lanes` are shared by all jobs that run; `schedule` says
    how long the outage of a registry is waited for; `fellows` are there where several replicas are one service, and
    then `sweeps` says when what dead ones left in the spool is deleted; `early`: what is pushed while its archive
    still comes in. `audit`: what deletes old entries of the audit trail."""

    ledger: JobTracker
    spool: Spool
    queue: JobQueue
    registries: Mapping[str, ConfiguredRegistry]
    roots: AllowedRoots = field(default_factory=lambda: AllowedRoots(()))
    clock: Clock = utc_now
    elapsed: Callable[[], float] = time.monotonic
    limits: Limits = DEFAULT_LIMITS
    max_archive_bytes: int | None = None
    lanes: PushResources = field(default_factory=PushResources)
    leases: TagLeases = field(default_factory=LocalTagLeases)
    arrivals: AcceptanceClock = field(default_factory=AcceptanceClock)
    schedule: RetrySchedule = FAIL_AT_ONCE
    paused: PausedJobs = field(default_factory=PausedJobs)
    fellows: ReplicaHeartbeat | None = None
    sweeps: SweepSchedule = field(default_factory=SweepSchedule)
    signatures: tuple[SignaturePolicy, ...] = ()
    early: EarlyPushes = field(default_factory=EarlyPushes)
    decoders: DecoderMemory = field(default_factory=DecoderMemory)
    stored: StoredBytes = field(default_factory=StoredBytes)
    audit: AuditRetention | None = None

    async def save(
        self, share: str, name: str, chunks: AsyncIterable[bytes], tap: StreamFilter, expected_bytes: int = 0
    ) -> SpooledFile:
        """Save in the spool, and count it as stored for the token `share`. Raises QuotaExceeded, and what the spool
        does."""
        try:
            self.stored.check(share, expected_bytes)
            return await self.spool.save(name, chunks, self.stored.counted(share, name, tap), expected_bytes)
        except BaseException:
            self.stored.forget(name)
            raise

    async def discard(self, file: SpooledFile) -> None:
        """Delete an owned file from the spool, and count it no more."""
        await self.spool.discard(file)
        if file.owned:
            self.stored.forget(file.name)
