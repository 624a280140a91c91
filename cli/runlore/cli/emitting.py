"""Emitting one event from a command, and saying what became of it."""

from __future__ import annotations

from collections.abc import Callable

from runlore.cli.output import print_line
from runlore.producer import Receipt, configure
from runlore.schemas.settings import Settings


def emit(settings: Settings, log: Callable[[], Receipt], wait_seconds: float | None = None) -> None:
    """Call `log` under these settings and print the event's ID, with `wait_seconds` also its position.

    Raises ReceiptTimeoutError when the log does not answer in time; the event stays in the outbox.
    """
    configure(data_dir=settings.data_dir, project=settings.project)
    receipt = log()
    print_line(receipt.event_id)
    if wait_seconds is not None:
        print_line(str(receipt.wait(wait_seconds)))
    # What is not yet sent is flushed at exit, which also says what has to wait.
