"""Data folders with a live view, folded from real encoded events; no server needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runlore.projector.generations import make_current
from runlore.query import Client
from runlore.schemas.layout import DataDir
from tests.events import LogBuilder


def fold_live(data: DataDir, log: LogBuilder, generation: int = 1, after: int = 0) -> None:
    """Fold the log into a generation and make it the live one."""
    view = log.fold_into(data.view(generation), after=after)
    view.close()
    make_current(data, data.view(generation))


def client_of(folder: Path, write: Callable[[LogBuilder], object]) -> Client:
    """A client on a fresh folder whose log is what `write` adds."""
    log = LogBuilder()
    write(log)
    fold_live(DataDir(folder), log)
    return Client(folder)
