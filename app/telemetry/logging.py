"""Set-up of logs: structlog, including the loggers of the standard library."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

# Both exception formatters of structlog would print the values of local variables: passwords, tokens.
_NO_LOCALS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def configure_logging(level: str = "info", *, text: bool) -> None:
    """Log to standard error, as JSON lines or as `text` for a person. Other libraries log warnings and errors only.

    At lower levels they write what must not be in a log: httpcore writes every header, aiosqlite every value.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if text
        else [structlog.processors.ExceptionRenderer(_NO_LOCALS), structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # few lines are logged, and a test may capture them
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _name_event],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger("app").setLevel(number)


def _name_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Name the event of another library's logger; its text becomes `message`."""
    event["message"] = event["event"]
    event["event"] = "library.message"
    return event


__all__ = ["configure_logging"]
