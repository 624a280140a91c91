"""`runlore replay`: the log up to a moment, as a file."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from runlore.cli.eventline import event_json
from runlore.cli.options import REFERENCE, STDOUT, TARGET, TargetType, data_dir_option, settings_for
from runlore.cli.output import note
from runlore.cli.progress import progress_bar
from runlore.cli.reading import WHEN
from runlore.projector import ArchiveReader
from runlore.projector.views.replay import mentioning, replay
from runlore.query import Client
from runlore.schemas.errors import MomentError, NotFoundError
from runlore.schemas.references import EntityRef, parse_ref
from runlore.schemas.settings import Settings
from runlore.schemas.visible import visible_json
from runlore.store.folder import DataDir
from runlore.store.log_rows import LogRow

_BATCH = 1000


@click.command("replay")
@click.option("--until", type=WHEN, metavar="WHEN", help="Position or time where to stop; else the end.")
@click.option("--into", type=TARGET, metavar="FILE", help="Write the read model to this new file.")
@click.option("--as", "events", type=TargetType(dash=True), metavar="FILE|-", help="Write the events as JSON lines.")
@click.option("--entity", type=REFERENCE, help="Only this entity (all versions, or with its steps).")
@click.option("--project", help="Only this project; else all.")
@click.option("--from", "url", metavar="URL", help="Read this NATS server instead of log.db.")
@data_dir_option
def replay_command(
    until: int | dt.datetime | None,
    into: Path | None,
    events: Path | None,
    entity: EntityRef | None,
    project: str | None,
    url: str | None,
    data_dir: Path | None,
) -> None:
    """Write the state of the log as of an event or time: a read model, its events, or both.

    The read model is one SQLite file, for `Client("past.db")` and for `--data-dir past.db` of the read commands.
    Time means when the log recorded an event.

    \b
    Examples:
      runlore replay --until 2026-03-03T12:00 --into past.db
      runlore replay --entity model:churn --as churn.jsonl
      runlore replay --from nats://nats.example:4222 --into copy.db
    """
    if into is None and events is None:
        raise click.UsageError("say what to write: --into FILE, --as FILE.jsonl, or both")
    for path in (into, events):
        if path is not None and path != STDOUT and path.exists():
            raise click.UsageError(f"{path} exists already; nothing is overwritten")
    settings = settings_for(data_dir, None, url=url)
    if entity is not None and entity.kind == "run" and url is None:
        entity = _run(settings, project, entity, until)
    with _log(settings, url) as log, tempfile.TemporaryDirectory() as scratch:
        last = _last(log, until)
        model = into if into is not None else Path(scratch) / "model.db" if entity is not None else None
        if model is not None:
            with progress_bar("folding") as progress:
                replay(log, model, last, project, entity, progress)
        if into is not None:
            note(f"{into}: the read model up to event {last:,}")
        if events is not None:
            only = None if entity is None or model is None else mentioning(model)
            with _opened(events) as file:
                written = _write_events(log, file, last, project, only)
            note(f"{'stdout' if events == STDOUT else events}: {written:,} events, up to event {last:,}")


def _run(settings: Settings, project: str | None, named: EntityRef, until: int | dt.datetime | None) -> EntityRef:
    """The run that its name, its pipeline or the beginning of its ID means in the live view."""
    try:
        with Client(settings.data_dir, project, until) as client:
            return parse_ref(client.get_pipeline_run(named.name).reference)
    except (NotFoundError, MomentError):  # no view, or it is behind: the log may know the ID
        return named


@contextlib.contextmanager
def _opened(path: Path) -> Generator[BinaryIO]:
    if path == STDOUT:
        yield sys.stdout.buffer
        return
    with path.open("xb") as file:
        yield file


@contextlib.contextmanager
def _log(settings: Settings, url: str | None) -> Generator[ArchiveReader]:
    """The archive of the folder, or a copy of the stream that lasts as long as this command."""
    with tempfile.TemporaryDirectory() as scratch:
        path = DataDir(settings.data_dir).log
        if url is not None:
            from runlore.projector.archiving.copy_stream import copy_stream

            path = Path(scratch) / "log.db"
            with progress_bar("copying the stream") as progress:
                copy_stream(settings, path, progress=progress)
        with contextlib.closing(ArchiveReader(path)) as log:
            yield log


def _last(log: ArchiveReader, until: int | dt.datetime | None) -> int:
    if until is None:
        return log.position
    if isinstance(until, int):
        return min(until, log.position)
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return log.position_at((until - epoch) // dt.timedelta(microseconds=1))


def _write_events(
    log: ArchiveReader, file: BinaryIO, last: int, project: str | None, only: Iterator[int] | None
) -> int:
    """Write the events up to `last`, of a project and at positions `only` (ascending) if given; how many."""
    written = 0
    wanted = None if only is None else next(only, None)
    for row in _rows(log, last):
        if only is not None:
            if row.position != wanted:
                continue
            wanted = next(only, None)
        event: dict[str, Any] = event_json(row)
        if project is None or event.get("project") == project:
            file.write(visible_json(msgspec.json.encode(event)) + b"\n")
            written += 1
    return written


def _rows(log: ArchiveReader, last: int) -> Iterator[LogRow]:
    position = 0
    while rows := log.read(position, _BATCH):
        for row in rows:
            if row.position > last:
                return
            yield row
        position = rows[-1].position
