"""The audit commands about single events: prove, trail."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from runlore.cli.auditing import key_option, open_prover, proven_row
from runlore.cli.bundling import resolved
from runlore.cli.eventline import CLAIMED, event_json, event_text
from runlore.cli.options import REFERENCE, data_dir_option, json_option, project_option, settings_for
from runlore.cli.output import note, print_exact, print_json, print_line
from runlore.cli.reading import When, as_of_option, entity_of, open_client
from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.audit.effect import Verdict, judge
from runlore.projector.audit.keys import Verifier
from runlore.projector.audit.prove import Prover
from runlore.projector.audit.trail import positions_about, refusals, signers_of
from runlore.query import Client
from runlore.query.effect import EventErasure, effect_record, event_erasure
from runlore.query.plain import plain
from runlore.schemas.errors import NotFoundError
from runlore.schemas.references import EntityRef
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
@click.pass_context
def prove(
    ctx: click.Context,
    reference: EntityRef,
    key_path: str,
    as_of: When | None,
    keys: tuple[Verifier, ...],
    project: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Prove that the event which set a key's current value is in the signed log, and say whether it took effect.

    Exits with 4 when the log rejects the event that the view shows; of a second copy it proves the first one, too.

    \b
    Examples:
      runlore audit prove model:churn@3 evaluation_metrics.accuracy
      runlore audit prove model:churn accuracy --as-of 1200 --json
    """
    with open_client(data_dir, project, as_of) as client:
        entries = entity_of(client, reference).history(key_path, limit=1)  # raises when there never was one
    if not entries:
        raise NotFoundError(f"{key_path!r} of {reference} was not logged yet then")
    position, settings = entries[-1].position, settings_for(data_dir)
    with open_prover(settings, keys) as prover:
        events = prover.with_first_copies([position])
        refused = refusals(DataDir(settings.data_dir).current_view(), [position])
        verdicts = judge(events, refused, prover.trusted)
        found = {event.position: (event, verdict) for event, verdict in zip(events, verdicts, strict=True)}
        event, verdict = found[position]
        first = None if verdict.first is None else found[verdict.first][0]
        if as_json:
            print_json(
                {
                    "epoch": prover.epoch, "checkpoint": prover.newest.note, "event": msgspec.to_builtins(event),
                    **verdict.record(), "first": msgspec.to_builtins(first),
                }
            )  # fmt: skip
        else:
            _show_proofs([event] if first is None else [event, first], verdict, prover)
    if verdict.rejection:
        note("the view shows a value of an event that the log rejects: `runlore audit verify` says more")
        ctx.exit(4)


def _show_proofs(events: Sequence[ProvenEvent], verdict: Verdict, prover: Prover) -> None:
    """Print the event and its proof; then, of a second copy, those of the first."""
    for number, event in enumerate(events):
        print_line(event_text(proven_row(event, None if number else verdict), "" if number else verdict.who))
        print_line("the first event with its ID" if number else verdict.label)
        if event.erasure is not None:
            print_line(f"values were erased by event {event.erasure:,}; the leaf is that of the event as it was logged")
        leaf = event.leaf(prover.coder).hex()
        print_line(f"leaf {event.index} of {prover.newest.checkpoint.size}: {leaf}")
        for sibling in event.proof:
            print_line(f"  {sibling.hex()}")
        print_line()
    print_line("gives the root of the signed checkpoint:\n")
    print_exact(prover.newest.note)


@click.command()
@click.argument("reference", type=REFERENCE)
@project_option
@data_dir_option
@json_option
def trail(reference: EntityRef, project: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Print every event about an entity that took effect, oldest first: when, by whom, from where.

    A name without a version means all its versions. Rejected events are in its bundle: `runlore audit bundle`.

    \b
    Examples:
      runlore audit trail model:churn
      runlore audit trail model:churn@production --json
    """
    settings = settings_for(data_dir, project)
    data = DataDir(settings.data_dir)
    with Client(settings.data_dir, settings.project) as client:
        meant = resolved(client, reference)
    view = data.current_view()
    positions = positions_about(view, settings.project, meant)
    rows, signers = _rows(data, positions), signers_of(view, positions)
    if as_json:
        print_json(
            [
                {**event_json(row), "signer": plain(signers.get(row.position)), **effect_record(None, erasure)}
                for row, erasure in rows
            ]
        )
        return
    for row, _ in rows:
        signer = signers.get(row.position)
        print_line(event_text(row, str(signer or CLAIMED)))


def _rows(data: DataDir, positions: Sequence[int]) -> Iterator[tuple[LogRow, EventErasure | None]]:
    with contextlib.closing(ArchiveReader(data.log)) as reader:
        for position in positions:
            for row in reader.read(position - 1, 1):
                yield row, event_erasure(reader.erasure(position) if row.erased else None)
