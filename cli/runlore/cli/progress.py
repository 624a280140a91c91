"""A progress bar for work that takes longer than two seconds, on stderr and on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager

SHOW_AFTER = 2.0
"""Seconds."""


@contextmanager
def progress_bar(what: str) -> Generator[Callable[[int, int], None]]:
    """A function that hears how much of how much is done."""
    started = time.monotonic()
    with ExitStack() as shown:
        update: Callable[[int, int], None] | None = None

        def hear(done: int, total: int) -> None:
            nonlocal update
            if update is None and sys.stderr.isatty() and time.monotonic() - started > SHOW_AFTER:
                update = _open_bar(shown, what)
            if update is not None:
                update(done, total)

        yield hear


def _open_bar(shown: ExitStack, what: str) -> Callable[[int, int], None]:
    # rich takes 60 ms to import: only long work pays for it.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = shown.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = bar.add_task(what, total=None)
    return lambda done, total: bar.update(task, completed=done, total=total)
