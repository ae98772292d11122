"""JSON lines on standard error. One record an event; never a text that was scored."""

import logging
import sys

import structlog

Logger = structlog.typing.FilteringBoundLogger


def configure_logs(level: str = "info") -> None:
    """Set structlog up for the process; called once, by the composition root."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


def get_logger(name: str) -> Logger:
    """A logger that names its module."""
    logger: Logger = structlog.get_logger(module=name)
    return logger
