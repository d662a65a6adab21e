"""Structured logs: one JSON object a line in the file, words on a terminal."""

from __future__ import annotations

import sys

import structlog

__all__ = ["configure_logs"]


def configure_logs(service: str) -> None:
    """Log to standard output: the supervisor writes it to the service's file and rotates it."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if sys.stdout.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
    )
    structlog.contextvars.bind_contextvars(service=service)
