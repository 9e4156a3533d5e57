"""The HTTP API. `new_application` assembles routes and middleware; `app.main` provides the context.

base_path         the path below which a client sees the service
context           ApiContext, restricted to the caller of a request
delivery_documents  deliveries in the OpenAPI document and in responses
each_response     the response to a request with a job per archive
event_stream      server-sent events
job_events        server-sent events of a job
job_response      a job as an HTTP response
json_response     JSON with a final newline
probe             one probe of a registry for all requests of the same time
problems          the only table of HTTP statuses
report_response   a report as JSON, CSV or a page
schemas           documents of the contract
store_documents   documents of /store and /status
upload_responses  responses of tus and of the IETF draft
middleware        middleware, one per file
openapi           additions to the generated OpenAPI document
requests          parts of a request: body, options, headers
routes            the routes, one module per resource
web               the web page, the API page and the guide
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI

from app import __version__
from app.api import problems
from app.api.context import ApiContext, RegistryView
from app.api.json_response import NewlineJSONResponse
from app.api.middleware.access_log import AccessLogMiddleware
from app.api.middleware.auth import AccessPolicy, AuthMiddleware
from app.api.middleware.compression import JsonCompression
from app.api.middleware.cors import Cors
from app.api.middleware.error_format import ErrorFormatMiddleware
from app.api.middleware.limits import MOST, LongRequest, RequestLimitsMiddleware
from app.api.middleware.proxy import Proxy
from app.api.middleware.rates import Buckets, Rates
from app.api.middleware.request_id import RequestIds
from app.api.openapi.document import finish_openapi
from app.api.routes import audit, deliveries, docker_engine, events, health, jobs, push, status, store, uploads, whoami
from app.api.web.api_docs import docs_router
from app.api.web.front_page import front_router
from app.api.web.guide import guide_router
from app.config.types import AccessLog
from app.telemetry.metrics import Metrics

_WORDS = """Takes container image archives and pushes every image in them to a registry, byte for byte.

Errors are problem documents (RFC 9457) with a stable `code`; a job's and an image's `problem` have the same form."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def new_application(
    lifespan: Lifespan,
    access: AccessPolicy,
    max_uploads: int = MOST[LongRequest.UPLOADS],
    buckets: Buckets | None = None,
    access_log: AccessLog = AccessLog.ERRORS,
) -> FastAPI:
    """Return the application. `lifespan` sets `state.context` to an ApiContext before the first request."""
    app = FastAPI(
        title="Tarmac",
        version=__version__,
        description=_WORDS,
        lifespan=lifespan,
        openapi_url=None,  # the served document contains the address of the service
        docs_url=None,  # FastAPI's pages load their scripts from a CDN
        redoc_url=None,
        default_response_class=NewlineJSONResponse,
        redirect_slashes=False,  # a redirected upload would be sent twice
    )
    resources = (push, uploads, deliveries, jobs, events, store, whoami, audit, status, health, docker_engine)
    pages = (front_router(), guide_router(), docs_router())  # the last one takes any name below /docs
    for router in (*(resource.router for resource in resources), *pages):
        app.include_router(router)
    problems.install_error_handlers(app)
    most = {**MOST, LongRequest.UPLOADS: max_uploads}
    buckets = buckets or Buckets()
    app.add_middleware(JsonCompression)
    app.add_middleware(Rates, buckets=buckets, most=most)
    app.add_middleware(AuthMiddleware, access=access, buckets=buckets)
    app.add_middleware(RequestLimitsMiddleware, most=most)
    app.add_middleware(ErrorFormatMiddleware)
    app.add_middleware(AccessLogMiddleware, mode=access_log)
    app.add_middleware(Proxy, trusted=access.proxies, base_path=access.base_path)
    app.add_middleware(Cors, origins=access.cors)
    app.add_middleware(RequestIds)
    _finish_document(app)
    return app


def _finish_document(app: FastAPI) -> None:
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = finish_openapi(make())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


__all__ = ["ApiContext", "Metrics", "RegistryView", "new_application"]
