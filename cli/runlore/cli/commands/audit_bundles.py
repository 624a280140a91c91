"""The audit commands about bundles: bundle, check."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from runlore.cli.auditing import (
    key_option,
    open_prover,
    proven_row,
    read_note,
    trusted_of,
    tsa_option,
    witness_policy_option,
)
from runlore.cli.bundling import DEPTH, gather
from runlore.cli.eventline import event_json, event_text
from runlore.cli.options import (
    POSITION,
    REFERENCE,
    TARGET,
    data_dir_option,
    force_option,
    json_option,
    project_option,
    require_new,
    settings_for,
)
from runlore.cli.output import note, print_json, print_line
from runlore.projector.audit.bundle import check_bundle, write_bundle
from runlore.projector.audit.bundle_content import CheckedBundle
from runlore.projector.audit.effect import Verdict
from runlore.projector.audit.key_history import described
from runlore.projector.audit.keys import Verifier
from runlore.projector.audit.timestamp_verify import stamped_at
from runlore.projector.audit.timestamps import Authority
from runlore.projector.audit.trail import refusals
from runlore.projector.audit.witness_policy import read_policy
from runlore.projector.audit.witness_verify import require_witnessed
from runlore.schemas.references import EntityRef
from runlore.store.audit.erasure import is_erasure, parse_erasure
from runlore.store.audit.proof import ProvenEvent
from runlore.store.folder import DataDir


@click.command()
@click.argument("references", type=REFERENCE, nargs=-1, required=True, metavar="REF...")
@click.option("--out", type=TARGET, metavar="FILE", required=True, help="The file to write.")
@force_option
@click.option(
    "--depth",
    type=POSITION,
    default=DEPTH,
    show_default=True,
    metavar="N",
    help="Also what made the entities, up to N links away (run, steps, data versions), and what replaced them; 0: not.",
)
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
    depth: int,
    since_checkpoint: Path | None,
    keys: tuple[Verifier, ...],
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Write all events about entities into one file, with their proofs and a report to read.

    Anyone can check the file offline: `runlore audit check`. It also holds the events about what made the entities and
    what replaced them (--depth), and those about the entities that were rejected. It says what it leaves out.

    \b
    Examples:
      runlore audit bundle model:churn@3 artifact:rows --out churn.bundle
      runlore audit bundle model:churn@3 --depth 0 --out churn.bundle
    """
    require_new(out, force)
    settings = settings_for(data_dir, project)
    found = gather(settings, references, depth)
    with open_prover(settings, keys) as prover:
        signed = [position for position in found.positions if prover.covers(position)]
        if not signed:
            prover.event(found.positions[-1])  # raises, saying that it is not signed yet
        left_out, newer = list(found.left_out), len(found.positions) - len(signed)
        if newer:
            left_out.insert(0, f"newer events, {newer:,} in number: no checkpoint is signed for them yet")
        since = read_note(since_checkpoint, trusted_of(settings, prover.epoch, keys)) if since_checkpoint else None
        refused = refusals(DataDir(settings.data_dir).current_view(), signed)
        done = write_bundle(
            out, prover, settings.project, found.about, signed, since,
            refused=refused, related=found.related, left_out=left_out,
        )  # fmt: skip
    for text in left_out:
        note(f"left out {text}")
    rejected = f", {len(done.bundle.rejected):,} of them rejected," if done.bundle.rejected else ""
    count, leaves = len(done.bundle.events), done.checkpoint.size
    note(f"{count:,} events{rejected} under the checkpoint of {leaves:,} leaves written to {out}")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="BUNDLE")
@key_option
@click.option(
    "--with",
    "others",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="BUNDLE",
    help="Another bundle of the same log, which must be of one history, and may hold earlier copies. May be repeated.",
)
@witness_policy_option
@tsa_option
@click.option("--report", type=TARGET, metavar="FILE", help="Write a new report to this file.")
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    file: Path,
    keys: tuple[Verifier, ...],
    others: tuple[Path, ...],
    witness_policy: Path | None,
    tsa_cert: Path | None,
    report: Path | None,
    as_json: bool,
) -> None:
    """Check a bundle offline, with nothing but the log's public key; exits with 4 when anything does not hold.

    --key is required: take it from the log's owner, not from the bundle. It may be an older key of the log: the bundle
    carries the statements by which keys replaced each other.

    Prints the events that are proved, and which of them are in the log but were rejected, and why; exits with 4, too,
    when the bundle does not say so itself. The report inside the bundle is not proved: --report makes it from checked
    events.
    """
    if not keys:
        raise click.UsageError(
            "give the log's public key with --key; take it from the log's owner, not from the bundle"
        )
    checked = check_bundle(file, keys, [check_bundle(other, keys) for other in others])
    if witness_policy is not None:
        require_witnessed(checked, read_policy(witness_policy))
    at = stamped_at(checked, Authority.read(tsa_cert)) if tsa_cert is not None else None
    if report is not None:
        from runlore.projector.audit.report import html_report

        report.write_text(html_report(checked), encoding="utf-8")
    if as_json:
        print_json(_as_json(checked, at))
    else:
        _show(checked, at)
    if checked.undeclared:
        ctx.exit(4)


def _as_json(checked: CheckedBundle, at: dt.datetime | None) -> dict[str, Any]:
    bundle = checked.bundle
    erasures = {event.position: event for event in bundle.events if is_erasure(event.subject, event.payload)}
    return {
        "origin": checked.checkpoint.origin,
        "size": checked.checkpoint.size,
        "root": base64.b64encode(checked.checkpoint.root).decode(),
        "since": checked.since.size if checked.since else None,
        "signed_by": checked.verifier.vkey,
        "key_changes": [described(change) for change in checked.changes],
        "timestamp": _stamp(checked, at),
        "holds": not checked.undeclared,
        "undeclared": checked.undeclared,
        "events": [_event(*pair, erasures) for pair in zip(bundle.events, checked.verdicts, strict=True)],
        "not_proved": {
            "project": bundle.project,
            "about": bundle.about,
            "related": bundle.related,
            "left_out": bundle.left_out,
        },
        "notes": checked.notes,
    }


def _stamp(checked: CheckedBundle, at: dt.datetime | None) -> dict[str, Any] | None:
    """What a checked time stamp shows, and of how many events."""
    if checked.stamped is None or at is None:
        return None
    size = checked.stamped.checkpoint.size
    return {"at": at.isoformat(), "size": size, "events": sum(event.index < size for event in checked.bundle.events)}


def _event(event: ProvenEvent, verdict: Verdict, erasures: Mapping[int, ProvenEvent]) -> dict[str, Any]:
    statement, erasure = erasures.get(event.erasure or 0), None
    if statement is not None:
        stated = parse_erasure(statement.payload.decode())
        erasure = {"position": statement.position, "reason": stated.reason, "who": stated.who}
    return {**event_json(proven_row(event, verdict)), **verdict.record(), "erasure": erasure}


def _show(checked: CheckedBundle, at: dt.datetime | None) -> None:
    bundle = checked.bundle
    for event, verdict in zip(bundle.events, checked.verdicts, strict=True):
        print_line(event_text(proven_row(event, verdict), verdict.who))
        if verdict.rejection:
            undeclared = event.position in checked.undeclared
            print_line(f"          {verdict.label}{'; THE BUNDLE PRESENTS IT AS IN EFFECT' if undeclared else ''}")
    if (stamp := _stamp(checked, at)) is not None:
        covered = f"{stamp['events']:,} of the events among them, existed at {at:%Y-%m-%d %H:%M:%S} UTC or before"
        note(f"STAMPED the first {stamp['size']:,} leaves, {covered}")
    elif checked.stamped is not None:
        note(f"a time stamp of the first {checked.stamped.checkpoint.size:,} leaves was not checked: --tsa-cert")
    for change in checked.changes:
        note(f"KEY {described(change)}")
    for name, texts in (("about", bundle.about), ("related", bundle.related), ("left out", bundle.left_out)):
        for text in texts:
            note(f"not proved, {name}: {text}")
    for text in checked.notes:
        note(f"NOTE: {text}")
    _sum_up(checked)


def _sum_up(checked: CheckedBundle) -> None:
    count = len(checked.verdicts)
    rejected = sum(verdict.rejection is not None for verdict in checked.verdicts)
    grew = f", which only grew since its {checked.since.size:,} leaves" if checked.since else ""
    proved = f"{count:,} events are in the signed log of {checked.checkpoint.size:,} leaves{grew}"
    if checked.undeclared:
        wrong = f"{len(checked.undeclared):,} of them were rejected, and the bundle presents them as in effect"
        note(f"DOES NOT HOLD: {proved}; {wrong}")
        return
    note(f"holds: {proved}; {count - rejected:,} accepted, {rejected:,} rejected")
