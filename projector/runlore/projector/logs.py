"""Structured logs on stderr: lines of JSON, or colours when a person watches."""

from __future__ import annotations

import logging
import sys
from typing import cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor


def configure_logs() -> None:
    """Set up structlog for this process. Only programs call it, never the library."""
    last: Processor = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def get_log() -> FilteringBoundLogger:
    """The projector's logger."""
    return cast(FilteringBoundLogger, structlog.get_logger("runlore.projector"))
