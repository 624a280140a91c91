"""Streams and logs that agree, made without a projector, so that they can be damaged."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from runlore.cli.private_server import STREAMS, PrivateServer
from runlore.cli.remote_stream import ask
from runlore.cli.server import find_program
from runlore.projector.archiving.archive import Archive
from runlore.projector.archiving.copy_stream import copy_stream
from runlore.projector.restoring.blocks import BlockWriter
from runlore.schemas import read_settings
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from runlore.store.sqlite import open_reader
from runlore.wire.stream import create_stream, stream_config
from tests.events import EPOCH, LogBuilder

START_NS = 1_770_000_000_000_000_000


def publish(log: Sequence[Received], first: int, last: int, name: str = "more") -> list[Received]:
    """Messages of events that no log has, at these positions."""
    builder = LogBuilder()
    for number in range(first, last + 1):
        builder.log(f"run:{name}", {"n": number})
    return [
        Received(
            position,
            f"{name}-{position}",
            START_NS + 7_919 * position,
            row.subject,
            f"NATS/1.0\r\nNats-Msg-Id: {name}-{position}\r\nNats-Batch-Id: b\r\n\r\n".encode(),
            row.payload,
        )
        for position, row in enumerate(builder.rows, first)
    ]


def filled_log(data: DataDir) -> list[Received]:
    """A log.db of positions 1 to 300: 100 to 102 are a gap, and 150 is a second copy of 149."""
    rows = publish([], 1, 300, "first")
    rows[149] = rows[148]._replace(position=150)
    rows[4] = rows[4]._replace(headers=b"", event_id=None)
    rows = rows[:99] + rows[102:]
    archive = Archive.open(data.log, EPOCH)
    archive.append(rows[:99])
    archive.record_gap(100, 102, "the stream no longer holds these positions")
    archive.append(rows[99:])
    archive.close()
    return rows


def log_rows(rows: Sequence[Received], until: int) -> list[Received]:
    return [row for row in rows if row.position <= until]


def write_store(data: DataDir, rows: Sequence[Received], epoch: str = EPOCH) -> None:
    """The embedded server's store with a stream of exactly these messages."""
    data.nats.mkdir(parents=True, exist_ok=True)
    server = PrivateServer(find_program(None), data.nats, read_settings())
    with server as settings:
        ask(settings, lambda connection: create_stream(connection, stream_config(epoch, 1)))
    folder = server.store / STREAMS / "RUNLORE" / "msgs"
    for file in folder.iterdir():
        file.unlink()
    with BlockWriter(folder) as blocks:
        for row in rows:
            blocks.write(row)


def copied(data: DataDir) -> Path:
    """A copy of the embedded server's stream, as log.db; the server gets a copy of its store."""
    folder = Path(tempfile.mkdtemp(dir=data.root))
    shutil.copytree(data.nats / "store", folder / "store")
    with PrivateServer(find_program(None), folder, read_settings()) as settings:
        copy_stream(settings, folder / "copy.db")
    return folder / "copy.db"


def messages(log: Path) -> list[Received]:
    """All rows of a log.db."""
    with contextlib.closing(open_reader(log)) as copy:
        columns = "position, event_id, recorded_ns, subject, headers, payload"
        return [Received(*row) for row in copy.execute(f"SELECT {columns} FROM log ORDER BY position")]


def store_of(data: DataDir, folder: Path | None = None) -> dict[str, bytes]:
    """Every file of a store, with its content."""
    store = folder or data.nats / "store"
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}
