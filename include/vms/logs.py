"""How the product's processes log: lines to read, or with VMS_LOG_FORMAT=json one JSON object a line for a collector.

What a line is about (the recording) is bound to the thread that works on it, so that every line says it, also those of
libraries. Airflow takes the same bindings into its task logs, which are JSON always.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import structlog

P = ParamSpec("P")
T = TypeVar("T")

FORMAT = "VMS_LOG_FORMAT"
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

about = structlog.contextvars.bound_contextvars
"""`with about(recording=17):` every line that is logged within says so."""


def of_recording(recording_id: int, work: Callable[P, T]) -> Callable[P, T]:
    """The work, whose lines say that they are about this recording, in whichever thread it is done."""

    def bound(*args: P.args, **kwargs: P.kwargs) -> T:
        with about(recording=recording_id):
            return work(*args, **kwargs)

    return bound


def is_json() -> bool:
    """Whether this installation logs JSON."""
    return os.environ.get(FORMAT, "") == "json"


def set_up(level: int = logging.INFO) -> None:
    """Log to the error stream from now on. For the main function of a process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json() if is_json() else logging.Formatter(TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _json() -> logging.Formatter:
    """Named as Airflow names them: timestamp, level, logger, event; exception when something was raised."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )
