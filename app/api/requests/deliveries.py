"""The request of a job with its delivery found by name."""

from __future__ import annotations

from dataclasses import replace

from app.api.context import ApiContext
from app.api.requests.options import Options
from app.jobs import JobRequest


async def job_request(options: Options, context: ApiContext) -> JobRequest:
    """Return what `Options.job_request` does, in the delivery that the options name. It is begun if none is open."""
    request = options.job_request(context.caller)
    if options.delivery is None:
        return request
    return replace(request, delivery=(await context.deliveries.join(options.delivery)).id)


__all__ = ["job_request"]
