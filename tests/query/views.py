"""Data folders with a live view, folded from real encoded events; no server needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.views.generations import make_current
from runlore.projector.views.view import View
from runlore.query import Client
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from tests.events import EPOCH, LogBuilder

HEADERS = b"NATS/1.0\r\nContent-Type: application/msgpack\r\n\r\n"


def fold_live(data: DataDir, log: LogBuilder, generation: int = 1, after: int = 0) -> None:
    """Fold the log into a generation and make it the live one."""
    view = log.fold_into(data.view(generation), after=after)
    view.close()
    make_current(data, data.view(generation))


def archive(data: DataDir, log: LogBuilder, signed: int | None = None) -> None:
    """Keep the log in log.db as the projector does, and sign it; `signed`: only this number of its events."""
    kept = Archive.open(data.log, EPOCH)
    rows = [
        Received(row.position, row.event_id, row.recorded_ns, row.subject, HEADERS, row.payload) for row in log.rows
    ]
    border = len(rows) if signed is None else signed
    writer = CheckpointWriter(kept, data.checkpoint_key)
    kept.append(rows[:border])
    writer.sign()
    kept.append(rows[border:])
    kept.close()


def client_of(folder: Path, write: Callable[[LogBuilder], object], archived: bool = False) -> Client:
    """A client on a fresh folder whose log is what `write` adds; with log.db where it is to be `archived`."""
    log = LogBuilder()
    write(log)
    fold_live(DataDir(folder), log)
    if archived:
        archive(DataDir(folder), log)
    return Client(folder)


def index_texts(folder: Path) -> None:
    """Bring the full-text index of the live view up to date, as the projector does beside folding."""
    view = View.open(DataDir(folder).current_view())
    view.sync_search(None)
    view.close()
