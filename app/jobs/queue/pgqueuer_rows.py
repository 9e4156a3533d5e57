"""QueueTable: SQL for PgQueuer's table; each row is a job.

PgQueuer's queries claim rows (by priority, skipping locked ones, again if their heartbeat is old), insert them, and
notify about changes. The queries here replace those that PgQueuer runs without checking the owner of the row: a replica
that was suspended, and resumes after another one has claimed its job, must not prolong or delete that row."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import JobId, QueueEntrypoint, QueueManagerId
from pgqueuer.ports.repository import EntrypointExecutionParameter

from app.jobs.queue import LONGEST_DELAY, QueueSchedule
from app.jobs.store.engine import SESSION

TABLE = "tarmac_pgqueuer"
QUEUE_CHANNEL = "tarmac_ch_pgqueuer"
ANYWHERE = "tarmac"  # the entrypoint of jobs without files in a spool
_SHARES = 10_000  # positions within one priority, so that shares alternate
_INSTALL_LOCK = 0x7461726D6171  # a PostgreSQL advisory lock: replicas that start at once install the schema one by one


@dataclass(frozen=True, slots=True)
class QueueRow:
    id: int
    job_id: str


def names() -> DBSettings:
    """Return all names explicitly: their defaults are read from environment variables as general as CHANNEL."""
    return DBSettings(
        prefix="tarmac_",
        channel=QUEUE_CHANNEL,
        function="tarmac_fn_pgqueuer_changed",
        statistics_table="tarmac_pgqueuer_statistics",
        queue_status_type="tarmac_pgqueuer_status",
        queue_table=TABLE,
        queue_table_log="tarmac_pgqueuer_log",
        trigger="tarmac_tg_pgqueuer_changed",
        schedules_table="tarmac_pgqueuer_schedules",
    )


async def install_schema(dsn: str, seconds: float) -> None:
    """Create or upgrade PgQueuer's tables. Replicas that start at the same time wait for each other."""
    connection = await asyncpg.connect(dsn, timeout=seconds)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _INSTALL_LOCK)
            queries = Queries.from_asyncpg_connection(connection)
            queries.qbe, queries.qbq = QueryBuilderEnvironment(names()), QueryQueueBuilder(names())
            installed = await queries.schema_is_installed()
            if not installed:
                await queries.install()
        if installed:
            await queries.apply_upgrade()
    finally:
        await connection.close()


class QueueTable:
    """The queue table for `replica`. Any replica may claim a row whose heartbeat is older than `timeout`."""

    def __init__(self, pool: Any, replica: UUID, timeout: timedelta) -> None:
        self._pool, self._replica, self._timeout = pool, QueueManagerId(replica), timeout
        settings = names()
        self._queries = Queries(
            AsyncpgPoolDriver(pool),
            QueryBuilderEnvironment(settings),
            QueryQueueBuilder(settings),
            QuerySchedulerBuilder(settings),
        )

    async def claim(self, entrypoints: Collection[str]) -> QueueRow | None:
        wanted = {
            QueueEntrypoint(entrypoint): EntrypointExecutionParameter(concurrency_limit=0) for entrypoint in entrypoints
        }
        taken = await self._queries.dequeue(1, wanted, self._replica, None, self._timeout)
        return QueueRow(taken[0].id, (taken[0].payload or b"").decode()) if taken else None

    async def claim_of_idle(self, entrypoints: Collection[str]) -> QueueRow | None:
        """As `claim`, of a share of which no job runs at any replica."""
        taken = await self._pool.fetchrow(
            """WITH found AS (
                SELECT id FROM tarmac_pgqueuer AS waiting
                WHERE status = 'queued' AND entrypoint = ANY($1::text[]) AND execute_after < now()
                AND NOT EXISTS (
                    SELECT FROM tarmac_pgqueuer AS other WHERE other.status = 'picked'
                    AND other.heartbeat >= now() - $3::interval AND other.headers->>'share' = waiting.headers->>'share'
                )
                ORDER BY priority DESC, id LIMIT 1 FOR UPDATE OF waiting SKIP LOCKED
            )
            UPDATE tarmac_pgqueuer AS row SET
                status = 'picked', updated = now(), heartbeat = now(), queue_manager_id = $2
            FROM found WHERE row.id = found.id RETURNING row.id, row.payload""",
            list(entrypoints),
            self._replica,
            self._timeout,
        )
        return QueueRow(taken["id"], (taken["payload"] or b"").decode()) if taken else None

    async def put(self, job_id: str, schedule: QueueSchedule, running: bool) -> None:
        """Add a job, or replace its schedule. `running`: this replica is running it now."""
        delay = schedule.delay(datetime.now(UTC))
        place = await self._pool.fetchval("SELECT place FROM jobs WHERE id = $1", job_id)
        priority = schedule.priority * _SHARES - await self._count_queued(job_id, schedule)
        while True:
            entered = await self._queries.enqueue(
                [entrypoint_of(place or "")],
                [job_id.encode()],
                [priority],
                [delay],
                [job_id],
                [{"share": schedule.share}],
                on_conflict="skip",
            )
            if entered[0] is not None or await self._update_existing(job_id, priority, delay, running):
                return

    async def _count_queued(self, job_id: str, schedule: QueueSchedule) -> int:
        """Return the number of queued jobs of its share: the second job of a share follows the first of every other."""
        counted = await self._pool.fetchval(
            "SELECT count(*) FROM tarmac_pgqueuer WHERE headers->>'share' = $1 AND dedupe_key <> $2",
            schedule.share,
            job_id,
        )
        return min(int(counted), _SHARES - 1)

    async def _update_existing(self, job_id: str, priority: int, delay: timedelta, running: bool) -> bool:
        """Give a waiting row the newer schedule, and mark a claimed one to be queued again after its run.

        Return False if the row does not exist any more."""
        done = await self._pool.execute(
            """WITH known AS (
                SELECT id, status = 'queued' OR (queue_manager_id = $4 AND NOT $5) AS idle
                FROM tarmac_pgqueuer WHERE dedupe_key = $1 AND status IN ('queued', 'picked') FOR UPDATE
            )
            UPDATE tarmac_pgqueuer AS row SET
                priority = $2,
                updated = now(),
                status = CASE WHEN idle THEN 'queued' ELSE row.status END,
                queue_manager_id = CASE WHEN idle THEN NULL ELSE row.queue_manager_id END,
                execute_after = CASE WHEN idle THEN now() + $3 ELSE row.execute_after END,
                headers = CASE WHEN idle THEN row.headers - 'again'
                    ELSE row.headers || jsonb_build_object('again', (now() + $3)::text) END
            FROM known WHERE row.id = known.id""",
            job_id,
            priority,
            delay,
            self._replica,
            running,
        )
        return bool(done != "UPDATE 0")

    async def heartbeat(self, rows: Collection[int]) -> frozenset[int]:
        """Refresh the heartbeat of `rows`, and return those that this replica still owns."""
        kept = await self._pool.fetch(
            "UPDATE tarmac_pgqueuer SET heartbeat = now() "
            "WHERE id = ANY($1::bigint[]) AND queue_manager_id = $2 RETURNING id",
            list(rows),
            self._replica,
        )
        return frozenset(item["id"] for item in kept)

    async def finish(self, row: QueueRow) -> None:
        """Delete the row of a finished run, or requeue it if it was enqueued again in the meantime."""
        gone = "DELETE FROM tarmac_pgqueuer WHERE id = $1 AND queue_manager_id = $2 AND NOT headers ? 'again'"
        if await self._pool.execute(gone, row.id, self._replica) == "DELETE 0":
            await self._pool.execute(
                """UPDATE tarmac_pgqueuer SET status = 'queued', queue_manager_id = NULL,
                execute_after = (headers->>'again')::timestamptz, headers = headers - 'again'
                WHERE id = $1 AND queue_manager_id = $2 AND headers ? 'again'""",
                row.id,
                self._replica,
            )

    async def requeue_for(self, row: QueueRow, entrypoint: str) -> None:
        """Requeue a row for a replica that claims `entrypoint`."""
        await self._pool.execute(
            """UPDATE tarmac_pgqueuer SET status = 'queued', queue_manager_id = NULL, updated = now(),
            entrypoint = $3 WHERE id = $1 AND queue_manager_id = $2""",
            row.id,
            self._replica,
            entrypoint,
        )

    async def release_pinned(self) -> None:
        """Release rows pinned to a replica that does not claim them, so that others with access to the files can."""
        await self._pool.execute(
            """UPDATE tarmac_pgqueuer SET entrypoint = $1
            WHERE status = 'queued' AND entrypoint LIKE $1 || '@%' AND updated < now() - $2::interval""",
            ANYWHERE,
            self._timeout,
        )

    async def correct_times(self) -> None:
        """Correct times that were written while the database's clock was ahead.

        A row written later than now keeps its delay. No delay exceeds LONGEST_DELAY, and no heartbeat is in the
        future."""
        await self._pool.execute(
            """UPDATE tarmac_pgqueuer SET
                execute_after = CASE
                    WHEN updated > now() AND execute_after - updated <= $1::interval
                        THEN now() + greatest(execute_after - updated, interval '0')
                    WHEN execute_after > now() + $1::interval THEN now()
                    ELSE execute_after END,
                heartbeat = least(heartbeat, now()),
                updated = least(updated, now())
            WHERE updated > now() OR heartbeat > now() OR execute_after > now() + $1::interval""",
            LONGEST_DELAY,
        )

    async def place_and_home(self, job_id: str) -> tuple[str, str] | None:
        found = await self._pool.fetchrow("SELECT place, home FROM jobs WHERE id = $1", job_id)
        return (found["place"], found["home"]) if found else None

    async def cancel_waiting(self, job_id: str) -> int | None:
        """Delete a waiting row; notify the replica that runs the job, if any, and return the id of its row."""
        await self._pool.execute("DELETE FROM tarmac_pgqueuer WHERE dedupe_key = $1 AND status = 'queued'", job_id)
        row = await self.find(job_id)
        if row is not None:
            await self._queries.notify_job_cancellation([JobId(row)])
        return row

    async def find(self, job_id: str) -> int | None:
        found = await self._pool.fetchval("SELECT id FROM tarmac_pgqueuer WHERE dedupe_key = $1", job_id)
        return None if found is None else int(found)

    async def remove(self, row_id: int) -> None:
        """Delete a row, regardless of its owner, which notices at its next heartbeat."""
        await self._pool.execute("DELETE FROM tarmac_pgqueuer WHERE id = $1", row_id)

    async def find_unqueued(self, most: int) -> tuple[tuple[str, QueueSchedule], ...]:
        """Return queued and running jobs that have no row, because the replica that should have added them died."""
        found = await self._pool.fetch(
            """SELECT jobs.id, document->>'priority' AS priority, document->>'share' AS share,
            document->>'next_attempt_at' AS later FROM jobs LEFT JOIN tarmac_pgqueuer AS row ON row.dedupe_key = jobs.id
            WHERE jobs.state IN ('queued', 'running') AND row.id IS NULL ORDER BY jobs.created_at LIMIT $1""",
            most,
        )
        return tuple((found_item["id"], _schedule_of(found_item)) for found_item in found)

    async def terminate_stalled_sessions(self, after: timedelta) -> int:
        """Terminate sessions of replicas suspended in a command for longer than `after`. Return their number.

        Between commands the server does so by itself (`engine.SESSION`). Before PostgreSQL 17 nothing else ends these
        sessions, and their locks block all writes of the others."""
        ended = await self._pool.fetch(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND usename = current_user AND application_name = $1
            AND state = 'active' AND wait_event = 'ClientRead' AND query_start < clock_timestamp() - $2::interval""",
            SESSION["application_name"],
            after,
        )
        return len(ended)

    async def truncate_log(self) -> None:
        """Delete PgQueuer's log of every step of every row; its statistics are not used."""
        await self._pool.execute("DELETE FROM tarmac_pgqueuer_log")


def entrypoint_of(place: str) -> str:
    return f"{ANYWHERE}:{place}" if place else ANYWHERE


def accepted_by(home: str) -> str:
    """Return the entrypoint of jobs whose files another replica could not access."""
    return f"{ANYWHERE}@{home}"


def cancelled_rows(payload: str) -> frozenset[int]:
    """Return the rows to cancel that a message on PgQueuer's channel names."""
    try:
        message = json.loads(payload)
    except ValueError:
        return frozenset()
    ids = message.get("ids") if isinstance(message, dict) and message.get("type") == "cancellation_event" else None
    return frozenset(id_ for id_ in ids or () if isinstance(id_, int))


def _schedule_of(found: Any) -> QueueSchedule:
    not_before = datetime.fromisoformat(found["later"]) if found["later"] else None
    return QueueSchedule(not_before, int(found["priority"] or 0), found["share"] or "")
