"""Progress of long work on stderr: a bar on a terminal after two seconds, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager

from runlore.cli.output import note

SHOW_AFTER = 2.0
"""Seconds."""

LINE_SECONDS = 15.0
"""Between two lines where stderr is no terminal: enough for a job's log to say that it is alive."""

Hear = Callable[[int, int], None]
"""Hears how much of how much is done."""


@contextmanager
def progress_bar(what: str) -> Generator[Hear]:
    """A function that hears how much of how much is done. A bar goes when all is: another may follow it."""
    with ExitStack() as shown:
        yield _bar(what, shown) if sys.stderr.isatty() else _lines(what)


def _lines(what: str) -> Hear:
    shown = time.monotonic()

    def hear(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= LINE_SECONDS:
            shown = time.monotonic()
            note(f"{what}: {done:,} of {total:,}")

    return hear


def _bar(what: str, shown: ExitStack) -> Hear:
    started = time.monotonic()
    update: Hear | None = None

    def hear(done: int, total: int) -> None:
        nonlocal update
        if update is None and done < total and time.monotonic() - started > SHOW_AFTER:
            update = _open_bar(shown, what)
        if update is not None:
            update(done, total)
            if done >= total:
                shown.close()
                update = None

    return hear


def _open_bar(shown: ExitStack, what: str) -> Hear:
    # rich takes 60 ms to import: only long work pays for it.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = shown.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = bar.add_task(what, total=None)
    return lambda done, total: bar.update(task, completed=done, total=total)
