"""The composition root: Settings -> adapters -> the application. Only it and `app.bootstrap` name adapters."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, BinaryIO

import structlog
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import __version__
from app.api import ApiContext, RegistryView, new_application
from app.api.middleware.proxy import TrustedProxies
from app.api.middleware.rates import Buckets, Kind, Rate, rates_of
from app.api.problems import problem_document
from app.api.requests.options import parse_options
from app.api.routes.distribution import add_distribution_routes
from app.bootstrap.access import access_of, server_certificate
from app.bootstrap.persistence import Persistence, is_replicated, open_persistence
from app.bootstrap.registries import ActiveRegistry, configured_registries, embedded_layout, has_store
from app.config.settings import Settings, settings_in_use
from app.config.types import LogFormat, is_open_to_others
from app.errors import InvalidSettings, TarmacError, Unavailable
from app.jobs import AllowedRoots, JobRuntime, JobService, JobTracker, run_job_service
from app.jobs.audit_retention import AuditRetention
from app.jobs.deliveries.retention import DeliveryRetention
from app.jobs.deliveries.service import Deliveries
from app.jobs.heartbeat import SweepSchedule
from app.jobs.outage import RetrySchedule
from app.jobs.resumable import UploadTable, resumable_uploads
from app.jobs.retention.disk_usage import DiskUsage
from app.jobs.retention.stored_images import StoreRetention, run_store_retention
from app.jobs.store.deliveries import SqlDeliveryStore
from app.jobs.uploads.early_pushes import EarlyPushes
from app.jobs.watch import Folder, FolderWatch, run_watcher
from app.jobs.webhook import Outbox, Webhook, WebhookSettings, run_webhook
from app.net.proxies import Proxies
from app.push import PushResources
from app.push.blob_cache.sqlite import SqliteBlobInfoCache
from app.push.decoder_memory import DecoderMemory
from app.push.signatures.policy import SignaturePolicy, load_key
from app.registry.oci_layout.export import open_layout
from app.registry.oci_layout.image_store import ImageStore
from app.registry.oci_layout.reachability import RetentionRule
from app.registry.oci_layout.served import ServedLayout
from app.server.connections import ConnectionLimiter, Listening
from app.server.memory import tune_memory
from app.server.protocol import RESERVED, LimitedHttpProtocol, Limits, raise_file_limit
from app.server.socket import BACKLOG, listening
from app.server.tls import limit_tls_buffers
from app.spool import Spool
from app.spool.disk import DiskSpool
from app.spool.s3 import S3Spool, open_store
from app.spool.upload_files import UploadFiles
from app.telemetry.job_log import JobLog
from app.telemetry.logging import configure_logging
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import JobTracer
from app.threads import use_io_threads

GRACE_SECONDS = 30  # for requests and pushes in progress at shutdown
RESERVE_BYTES = 64 << 20  # in the spool's file system, left free for the job store
SWITCH_SECONDS = 0.0002  # maximum wait of the event loop for a thread that runs Python code; Python's default is 5 ms
REFUSABLE = 16  # connections beyond the limit that are answered 503
DRAIN_SECONDS = 0.05  # interval of checks for unfinished uploads

_log = structlog.get_logger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """Return the application, which starts nothing before its lifespan. Raises InvalidSettings."""
    layout = embedded_layout(settings) if has_store(settings) else None
    store = None if layout is None else ImageStore(layout)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with _running(settings, metrics, store) as context:
                app.state.context = context
                yield
        except TarmacError as error:
            app.state.fault = error
            raise

    buckets = Buckets(_rates(settings), metrics=metrics)
    app = new_application(lifespan, access_of(settings), settings.max_uploads, buckets, settings.access_log)
    if layout is not None:
        add_distribution_routes(app, ServedLayout(layout))
    return app


@asynccontextmanager
async def _running(settings: Settings, metrics: Metrics, store: ImageStore | None) -> AsyncIterator[ApiContext]:
    use_io_threads()
    disk = DiskSpool(settings.data_dir / "spool", RESERVE_BYTES)
    spool = await asyncio.to_thread(_spool, settings, disk)
    async with AsyncExitStack() as stack:
        backed = await stack.enter_async_context(open_persistence(settings))
        registries = await stack.enter_async_context(configured_registries(settings))
        runtime = await asyncio.to_thread(_runtime, settings, backed, spool, registries)
        runtime = replace(runtime, open_store=None if store is None else partial(open_layout, store.registry))
        arriving = UploadFiles(backed.own_dir / "uploads", settings.data_dir / "spool")
        uploads = await UploadTable.load(arriving, runtime.limits, runtime.stored, runtime.indexes)
        _observe(runtime.tracker, metrics)
        await _trace(settings, stack, runtime.tracker)
        webhook = _webhook(settings, Outbox(backed.own_dir / "webhook"))
        if webhook is not None:
            runtime.tracker.on_job_ended(webhook.enqueue)
        await stack.enter_async_context(run_webhook(webhook))
        audit = AuditRetention(backed.store, settings.keep_audit, settings.audit_max_bytes, metrics.count_deleted_audit)
        reports = SqlDeliveryStore(backed.store)
        kept = replace(runtime, audit=audit, deliveries=DeliveryRetention(reports, settings.keep_deliveries))
        service = await stack.enter_async_context(_at_work(settings, kept, uploads))
        deliveries = Deliveries(reports, service)
        resumable = await stack.enter_async_context(resumable_uploads(replace(runtime, spool=disk), service, uploads))
        await stack.enter_async_context(run_store_retention(_store_retention(settings, store, runtime)))
        await stack.enter_async_context(run_watcher(_folder_watch(settings, service, deliveries)))
        yield ApiContext(
            service=service,
            registries={name: _view(each) for name, each in registries.items()},
            max_upload_bytes=settings.max_upload_bytes,
            check_room=spool.check_space,
            count_jobs=backed.store.count,
            uploads=resumable,
            deliveries=deliveries,
            audit=backed.store,
            store=store,
            usage=DiskUsage(settings.data_dir, runtime.tracker, None if store is None else store.size),
            metrics=metrics,
        )


async def _trace(settings: Settings, stack: AsyncExitStack, tracker: JobTracker) -> None:
    if settings.otel_endpoint is not None:
        traces = await asyncio.to_thread(JobTracer.open, settings.otel_endpoint)
        stack.push_async_callback(asyncio.to_thread, traces.close)
        tracker.on_job_ended(traces.record_job)


def _observe(tracker: JobTracker, metrics: Metrics) -> None:
    tracker.on_transition(JobLog().record)
    tracker.on_job_ended(metrics.count_ended)
    tracker.observe_sent(metrics.count_sent)


def _rates(settings: Settings) -> Mapping[Kind, Rate]:
    return rates_of(
        {
            Kind.REQUESTS: settings.rate_requests,
            Kind.UPLOADS: settings.rate_uploads,
            Kind.JOBS: settings.rate_jobs,
            Kind.PULLS: settings.rate_pulls,
            Kind.FAILURES: settings.rate_failures,
        }
    )


def _spool(settings: Settings, disk: DiskSpool) -> DiskSpool | S3Spool:
    return disk if settings.spool_url is None else S3Spool(open_store(settings.spool_url), disk)


def _at_work(settings: Settings, runtime: JobRuntime, uploads: UploadTable) -> AbstractAsyncContextManager[JobService]:
    return run_job_service(runtime, keep=settings.keep_jobs, keep_bytes=settings.keep_bytes, arriving=uploads.jobs)


def _runtime(
    settings: Settings, backed: Persistence, spool: Spool, registries: Mapping[str, ActiveRegistry]
) -> JobRuntime:
    """Return the dependencies of the job layer. Blocks, because it reads keys."""
    decoders = DecoderMemory(settings.decoder_memory)
    resources = PushResources(blob_cache=SqliteBlobInfoCache(backed.own_dir / "layers.sqlite"), decoders=decoders)
    return JobRuntime(
        tracker=backed.tracker,
        spool=spool,
        queue=backed.queue,
        registries={name: each.configured for name, each in registries.items()},
        roots=AllowedRoots(settings.path_roots),
        max_archive_bytes=settings.max_upload_bytes,
        resources=resources,
        early=EarlyPushes(resources, backed.tracker),
        schedule=RetrySchedule(settings.retry_for),
        replicas=backed.replicas,
        sweeps=SweepSchedule(settings.sweep_interval, settings.sweep_age),
        leases=backed.leases,
        signatures=_policies(settings),
        decoders=decoders,
    )


def _view(opened: ActiveRegistry) -> RegistryView:
    return RegistryView(opened.configured.url, opened.check, opened.configured)


def _store_retention(settings: Settings, store: ImageStore | None, runtime: JobRuntime) -> StoreRetention | None:
    if store is None:
        return None
    days = settings.store_keep_days
    rule = RetentionRule(None if days is None else days * 86_400.0, settings.store_keep_tags)
    return StoreRetention(store, rule, settings.data_dir / "store-seen.json", runtime.tracker.age.now)


def _folder_watch(settings: Settings, service: JobService, deliveries: Deliveries) -> FolderWatch | None:
    if settings.watch_dir is None:
        return None
    settle_seconds = settings.watch_settle.total_seconds()
    watch = FolderWatch(
        service, Folder(settings.watch_dir), parse_options, settle_seconds=settle_seconds, describe=problem_document
    )
    watch.report_disks(deliveries, settle_seconds)
    return watch


def _policies(settings: Settings) -> tuple[SignaturePolicy, ...]:
    return tuple(
        SignaturePolicy(signature.destinations, tuple(map(load_key, signature.keys)))
        for signature in settings.signatures
    )


def _webhook(settings: Settings, outbox: Outbox) -> Webhook | None:
    if settings.webhook_url is None:
        return None
    secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else None
    if settings.webhook_secret_file is not None:
        secret = settings.webhook_secret_file.read_text(encoding="utf-8").strip()
    told = WebhookSettings(settings.webhook_url, secret, settings.webhook_ca_file, Proxies.of(os.environ))
    return Webhook(told, outbox, describe=problem_document)


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document of a service with default settings."""
    with TemporaryDirectory() as place:
        return create_app(Settings(data_dir=Path(place))).openapi()


def serve(settings: Settings) -> None:
    """Run the service until SIGTERM or SIGINT; a second signal does not wait. Raises InvalidSettings, Unavailable."""
    tune_memory()
    sys.setswitchinterval(SWITCH_SECONDS)
    is_text = sys.stderr.isatty() if settings.log_format is None else settings.log_format is LogFormat.TEXT
    configure_logging(settings.log_level.value, text=is_text)
    certificate = server_certificate(settings)
    limit_tls_buffers()
    most = raise_file_limit(tls=certificate is not None)
    proxies = TrustedProxies.parse(settings.trusted_proxies)
    limiter = ConnectionLimiter(most + RESERVED + REFUSABLE, proxies.has, handshakes=certificate is not None)
    with listening(settings) as listener, _own(settings.data_dir, shared=is_replicated(settings)):
        app = create_app(settings.model_copy(update={"port": listener.port}))
        config = uvicorn.Config(
            _told_once(app),
            loop="asyncio",  # uvloop measured no better
            http=partial(LimitedHttpProtocol, limits=Limits(most, limiter)),  # type: ignore[arg-type]  # it is only called
            ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=int(settings.keep_alive.total_seconds()),
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        server = _UvicornServer(config)
        server.application = app
        server.url, server.settings = listener.address, settings
        with Listening.adopt(listener.socket, limiter) as socket_:
            server.run(sockets=[socket_])


def _told_once(app: FastAPI) -> ASGIApp:
    """Suppress the traceback that Starlette lets uvicorn log if the start failed for a known reason.

    `serve` raises the reason."""

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            known = message["type"] == "lifespan.startup.failed" and hasattr(app.state, "fault")
            await send({**message, "message": ""} if known else message)

        await app(scope, receive, tell if scope["type"] == "lifespan" else send)

    return told


class _UvicornServer(uvicorn.Server):
    """Ends waiting requests and event streams at shutdown, which would otherwise delay it until their timeout."""

    application: FastAPI
    url: str
    settings: Settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, or raise the error of the application's start. An unexpected error is in the log."""
        try:
            await super().startup(sockets)
        except SystemExit:
            raise getattr(
                self.application.state, "fault", Unavailable("the service could not start; see its log")
            ) from None
        gc.freeze()  # exclude existing objects from garbage collection; scanning them stopped the process for 50 ms
        _log.info(
            "service.started",
            url=self.url,
            version=__version__,
            data_dir=str(self.settings.data_dir),
            settings=settings_in_use(self.settings),
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a signal, without raising it again afterwards as uvicorn does, which would look like a crash."""
        self.force_exit = self.should_exit
        if self.force_exit:  # interrupting requests is intended, and uvicorn would log a traceback for each
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        context = getattr(self.application.state, "context", None)
        if isinstance(context, ApiContext):
            context.stopping.set()
            context.uploads.interrupt()
            await self._drain(context)
        await super().shutdown(sockets)
        _log.info("service.stopped")

    async def _drain(self, context: ApiContext) -> None:
        """Wait for uploads in progress while new work is answered 503; uvicorn would close the socket first."""
        until = time.monotonic() + GRACE_SECONDS
        while context.service.has_uploads and time.monotonic() < until and not self.force_exit:  # noqa: ASYNC110 - a flag that a signal sets
            await asyncio.sleep(DRAIN_SECONDS)


def _own(data_dir: Path, *, shared: bool = False) -> BinaryIO:
    """Acquire the lock of the data directory until it is closed or the process ends. Raises InvalidSettings.

    A second service on the same directory would take the uploads of the first for leftovers of a crash and delete them.
    Replicas of one database (`shared`) do not."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data_dir / "lock").open("wb")
    except OSError as error:
        raise InvalidSettings(f"TARMAC_DATA_DIR (data_dir): cannot use {data_dir}: {error.strerror}") from None
    if is_open_to_others(data_dir):
        _log.warning("data_dir.writable_by_others", data_dir=str(data_dir), remedy=f"chmod 700 {data_dir}")
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise InvalidSettings(
            f"TARMAC_DATA_DIR (data_dir): {data_dir} is locked by another Tarmac process; stop it, or set another "
            "directory"
        ) from None
    return lock


__all__ = ["create_app", "openapi_document", "serve"]
