"""The audit commands about single events: prove, bundle, check, trail."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import click
import msgspec

from runlore.cli.auditing import key_option, read_note, trusted_keys
from runlore.cli.eventline import event_json, event_text
from runlore.cli.options import (
    REFERENCE,
    TARGET,
    data_dir_option,
    force_option,
    json_option,
    project_option,
    require_new,
    settings_for,
)
from runlore.cli.output import note, print_exact, print_json, print_line
from runlore.cli.reading import When, as_of_option, entity_of, open_client
from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.audit.bundle import check_bundle, write_bundle
from runlore.projector.audit.keys import Verifier
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.prove import Prover
from runlore.projector.audit.trail import positions_about
from runlore.query import Client
from runlore.schemas.errors import NotFoundError
from runlore.schemas.references import EntityRef, parse_ref
from runlore.schemas.settings import Settings
from runlore.store.audit.proof import ProvenEvent
from runlore.store.folder import DataDir
from runlore.store.log_rows import LogRow


@click.command()
@click.argument("reference", type=REFERENCE)
@click.argument("key_path", metavar="KEY")
@as_of_option
@key_option
@project_option
@data_dir_option
@json_option
def prove(
    reference: EntityRef,
    key_path: str,
    as_of: When | None,
    keys: tuple[Verifier, ...],
    project: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Prove that the event which set a key's current value is in the signed log.

    \b
    Examples:
      runlore audit prove model:churn@3 evaluation_metrics.accuracy
      runlore audit prove model:churn accuracy --as-of 1200 --json
    """
    with open_client(data_dir, project, as_of) as client:
        entries = entity_of(client, reference).history(key_path, limit=1)  # raises when there never was one
    if not entries:
        raise NotFoundError(f"{key_path!r} of {reference} was not logged yet then")
    position = entries[-1].position
    with _prover(settings_for(data_dir), keys) as prover:
        event = prover.event(position)
        if as_json:
            print_json({"epoch": prover.epoch, "checkpoint": prover.newest.note, "event": msgspec.to_builtins(event)})
        else:
            _show_proof(event, prover)


def _show_proof(event: ProvenEvent, prover: Prover) -> None:
    print_line(event_text(_row(event)))
    print_line(f"leaf {event.index} of {prover.newest.checkpoint.size}: {event.leaf(prover.coder).hex()}")
    for sibling in event.proof:
        print_line(f"  {sibling.hex()}")
    print_line("gives the root of the signed checkpoint:\n")
    print_exact(prover.newest.note)


@click.command()
@click.argument("references", type=REFERENCE, nargs=-1, required=True, metavar="REF...")
@click.option("--out", type=TARGET, metavar="FILE", required=True, help="The file to write.")
@force_option
@click.option(
    "--since-checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An older checkpoint: prove that the log only grew since.",
)
@key_option
@project_option
@data_dir_option
def bundle(
    references: tuple[EntityRef, ...],
    out: Path,
    force: bool,
    since_checkpoint: Path | None,
    keys: tuple[Verifier, ...],
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Write all events about entities into one file, with their proofs and a report to read.

    Anyone can check the file offline: `runlore audit check`.

    \b
    Example:
      runlore audit bundle model:churn@3 artifact:rows --out churn.bundle
    """
    require_new(out, force)
    settings = settings_for(data_dir, project)
    about, positions = _about(settings, references)
    with _prover(settings, keys) as prover:
        signed = [position for position in positions if prover.covers(position)]
        if not signed:
            prover.event(positions[-1])  # raises, saying that it is not signed yet
        since = read_note(since_checkpoint, _trusted(settings, prover.epoch, keys)) if since_checkpoint else None
        done = write_bundle(out, prover, settings.project, about, signed, since)
    if len(signed) < len(positions):
        note(f"left out {len(positions) - len(signed)} newer events: no checkpoint is signed for them yet")
    note(f"{len(signed):,} events under the checkpoint of {done.checkpoint.size:,} leaves written to {out}")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="BUNDLE")
@key_option
@click.option("--report", type=TARGET, metavar="FILE", help="Write a new report to this file.")
@json_option
def check(file: Path, keys: tuple[Verifier, ...], report: Path | None, as_json: bool) -> None:
    """Check a bundle offline, with nothing but the log's public key; exits with 4 when anything does not hold.

    --key is required: take it from the log's owner, not from the bundle.

    Prints the events that are proved. The report inside the bundle is not: --report makes it from checked events.
    """
    if not keys:
        raise click.UsageError(
            "give the log's public key with --key; take it from the log's owner, not from the bundle"
        )
    checked = check_bundle(file, keys)
    if report is not None:
        from runlore.projector.audit.report import html_report

        report.write_text(html_report(*checked), encoding="utf-8")
    rows = [_row(event) for event in checked.bundle.events]
    if as_json:
        since = checked.since.size if checked.since else None
        root = base64.b64encode(checked.checkpoint.root).decode()
        print_json(
            {
                "origin": checked.checkpoint.origin, "size": checked.checkpoint.size, "root": root, "since": since,
                "about": checked.bundle.about, "events": [event_json(row) for row in rows],
            }
        )  # fmt: skip
        return
    for row in rows:
        print_line(event_text(row))
    grew = f", which only grew since its {checked.since.size:,} leaves" if checked.since else ""
    note(f"holds: {len(rows):,} events are in the signed log of {checked.checkpoint.size:,} leaves{grew}")


@click.command()
@click.argument("reference", type=REFERENCE)
@project_option
@data_dir_option
@json_option
def trail(reference: EntityRef, project: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Print every event about an entity, oldest first: when, by whom, from where.

    A name without a version means all its versions.

    \b
    Examples:
      runlore audit trail model:churn
      runlore audit trail model:churn@production --json
    """
    settings = settings_for(data_dir, project)
    _, positions = _about(settings, [reference])
    rows = _rows(DataDir(settings.data_dir), positions)
    if as_json:
        print_json([event_json(row) for row in rows])
        return
    for row in rows:
        print_line(event_text(row))


def _about(settings: Settings, references: Sequence[EntityRef]) -> tuple[list[str], list[int]]:
    """The entities that references mean, and the positions of all events about them, ascending."""
    view = DataDir(settings.data_dir).current_view()
    names: list[str] = []
    found: set[int] = set()
    with Client(settings.data_dir, settings.project) as client:
        for reference in references:
            meant = _resolved(client, reference)
            names.append(str(meant))
            found.update(positions_about(view, settings.project, meant))
    return names, sorted(found)


def _resolved(client: Client, reference: EntityRef) -> EntityRef:
    """The same, with a selector (latest, a stage) or a run's prefix resolved."""
    if reference.kind == "run":
        return parse_ref(client.get_pipeline_run(reference.name).reference)
    return reference if reference.version is None else parse_ref(client.get(reference).reference)


def _rows(data: DataDir, positions: Sequence[int]) -> Iterator[LogRow]:
    with contextlib.closing(ArchiveReader(data.log)) as reader:
        for position in positions:
            yield from reader.read(position - 1, 1)


def _row(event: ProvenEvent) -> LogRow:
    return LogRow(event.position, event.event_id, event.recorded_ns, event.subject, event.payload, None)


def _trusted(settings: Settings, epoch: str, keys: Sequence[Verifier]) -> list[Verifier]:
    return trusted_keys(DataDir(settings.data_dir), epoch, keys)


@contextlib.contextmanager
def _prover(settings: Settings, keys: Sequence[Verifier]) -> Generator[Prover]:
    data = DataDir(settings.data_dir)
    with contextlib.closing(ArchiveReader(data.log)) as reader:
        trusted = _trusted(settings, reader.epoch, keys)
    with contextlib.closing(open_audited(data.log)) as connection:
        yield Prover(connection, trusted)
