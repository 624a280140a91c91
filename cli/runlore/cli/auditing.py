"""Shared by the audit commands: trusted keys, notes in files, the report of a verification."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import click

from runlore.cli.output import note, print_pair
from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.audit.effect import Verdict
from runlore.projector.audit.findings import Problem, VerifyReport
from runlore.projector.audit.key_history import current_key, lineage, read_changes, spread
from runlore.projector.audit.keys import Verifier, load_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.prove import Prover, Signed
from runlore.projector.audit.signers import Signing, key_source
from runlore.schemas.errors import CorruptLogError, NotFoundError, SettingsError
from runlore.schemas.settings import Settings
from runlore.store.audit.checkpoint import signed_by
from runlore.store.audit.proof import ProvenEvent
from runlore.store.folder import DataDir
from runlore.store.folder_shard import log_origin
from runlore.store.log_rows import LogRow
from runlore.store.ownership import read_private
from runlore.store.private_files import write_struct
from runlore.store.records import LastVerify
from runlore.store.sqlite import sqlite


class KeyType(click.ParamType[Verifier]):
    """A public key as `runlore audit key` prints it, or a file that holds one."""

    name = "key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Verifier:
        if isinstance(value, Verifier):
            return value
        path = Path(value)
        return Verifier.parse(path.read_text() if "+" not in value and path.is_file() else value)


key_option = click.option(
    "--key",
    "keys",
    type=KeyType(),
    multiple=True,
    metavar="VKEY|FILE",
    help="Trust signatures of this public key; may be given again. Else the data folder's own key.",
)

witness_policy_option = click.option(
    "--witness-policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Demand the cosignatures of this policy (C2SP tlog-policy).",
)

tsa_option = click.option(
    "--tsa-cert",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Demand RFC 3161 time stamps of the authority whose certificates, root included, are in this PEM file.",
)


def trusted_keys(data: DataDir, epoch: str, given: Sequence[Verifier]) -> list[Verifier]:
    """The keys given, else the folder's own, if it has one; and those that they vouch for in the log."""
    try:
        found = list(given) or [load_public(data, log_origin(data, epoch))]
    except NotFoundError:
        return []
    try:
        with contextlib.closing(open_audited(data.log)) as connection:
            changes = read_changes(connection)
    except (NotFoundError, CorruptLogError, sqlite.DatabaseError):  # verification says what is wrong
        return found
    if not given:
        return lineage(current_key(found[0], changes), changes)
    return [one.key for one in spread(found, changes)]


def load_public(data: DataDir, name: str) -> Verifier:
    """The public part of the folder's own key: an encrypted key, or one behind a command, is not opened for it."""
    key = data.checkpoint_key
    if data.public_key.is_file() and (not key.exists() or b"ENCRYPTED" in read_private(key)):
        return Verifier.parse(data.public_key.read_text(encoding="utf-8"))
    return load_signer(key, name).verifier


def signing_key(settings: Settings, data: DataDir) -> Signing:
    """The key that signs the folder's log now. Raises SettingsError where that is another one than the settings'."""
    source, base = key_source(settings), log_origin(data, epoch_of(data))
    with contextlib.closing(open_audited(data.log)) as log:
        changes = read_changes(log)
    own = source.load(base).verifier
    now = current_key(own, changes)
    if now.public != own.public:
        raise SettingsError(f"{source} is not the key that signs this log now, which is {now.vkey}")
    return source.load(now.name)


def epoch_of(data: DataDir) -> str:
    """The epoch of the folder's log."""
    with contextlib.closing(ArchiveReader(data.log)) as reader:
        return reader.epoch


def read_note(path: Path, trusted: Sequence[Verifier]) -> Signed:
    """The checkpoint in a file. Raises CorruptLogError naming the file."""
    text = path.read_bytes().decode(errors="replace")
    try:
        return Signed(text, *signed_by(text, trusted))
    except CorruptLogError as error:
        raise CorruptLogError(f"{path}: {error}") from error


def trusted_of(settings: Settings, epoch: str, keys: Sequence[Verifier]) -> list[Verifier]:
    """The keys given, else that of the settings' data folder."""
    return trusted_keys(DataDir(settings.data_dir), epoch, keys)


@contextlib.contextmanager
def open_prover(settings: Settings, keys: Sequence[Verifier]) -> Generator[Prover]:
    """A prover over the log of the settings' data folder."""
    data = DataDir(settings.data_dir)
    with contextlib.closing(ArchiveReader(data.log)) as reader:
        trusted = trusted_keys(data, reader.epoch, keys)
    with contextlib.closing(open_audited(data.log)) as connection:
        yield Prover(connection, trusted)


def proven_row(event: ProvenEvent, verdict: Verdict | None) -> LogRow:
    """A proven event as the other commands print events of the log."""
    return LogRow(
        event.position, event.event_id, event.recorded_ns, event.subject, event.payload,
        duplicate_of=verdict.first if verdict else None, erased=event.erasure is not None,
    )  # fmt: skip


def show_report(report: VerifyReport) -> None:
    """Print a verification for people; what was not compared also goes to stderr."""
    if report.root:
        print_pair(
            "log",
            f"{report.events:,} events up to event {report.position:,}, hashed from raw bytes",
            f"{report.duplicates:,} second copies, {report.gaps:,} gaps, {report.leaves:,} leaves",
            f"root {report.root}",
        )
        if report.first_conflict is not None:
            print_pair(
                "NOTE",
                f"{report.conflicts:,} events have an earlier one's ID and other content, the first of them event "
                f"{report.first_conflict:,}: forged, or an ID used twice; quarantined, without effect",
            )
        if report.erased:
            print_pair("erased", f"values of {report.erased:,} events; each has its erasure in the log")
        for change in report.key_changes:
            print_pair("KEY", change)
        for stated in report.actor_keys:
            print_pair("actor", stated)
        outside = f", {report.outside:,} of them from outside" if report.outside else ""
        print_pair("signed", f"{report.checkpoints:,} checkpoints hold{outside}; the last of {report.signed:,} leaves")
    if report.witnessed is not None:
        print_pair("witnessed", f"a quorum of the policy's witnesses saw the log up to {report.witnessed:,} leaves")
    if report.stamped:
        print_pair("stamped", f"the authority saw the log of {report.stamped:,} leaves at {report.stamped_at}")
    if report.stream is not None:
        counts = f"{report.stream.stream_messages:,} messages there, {report.stream.log_messages:,} in the log"
        more = f", {report.stream.not_archived:,} not archived" if report.stream.not_archived else ""
        print_pair("stream", f"{counts}{more}; {report.stream.compared:,} compared byte by byte")
        if report.stream.note is not None:
            print_pair("NOTE", report.stream.note)
    if report.view is not None and not any(problem.place == "view" for problem in report.problems):
        print_pair("view", f"{len(report.view)} tables equal the log's replay")
    for problem in report.problems:
        print_pair("WRONG", f"{_where(problem)}: {problem.what}")
    for what, why in report.not_compared.items():
        note(f"NOT COMPARED with the {what}: {why}")


def remember(data: DataDir, report: VerifyReport, own_key: bool) -> None:
    """Leave what was found where the page shows it; an auditor who may only read the folder leaves nothing."""
    found = LastVerify(
        at=time.time(),
        position=report.position,
        leaves=report.leaves,
        root=report.root,
        checkpoints=report.checkpoints,
        outside=report.outside,
        own_key=own_key,
        messages=None if report.stream is None else report.stream.compared,
        view=report.view is not None,
        not_compared=report.not_compared,
        problems=[f"{_where(problem)}: {problem.what}" for problem in report.problems],
    )
    try:
        write_struct(data.verified, found, shared=True)
    except OSError as error:
        note(f"the page will not show this result: {error}")


def _where(problem: Problem) -> str:
    parts: list[str] = [problem.place]
    if problem.table is not None:
        parts.append(f"table {problem.table}")
    if problem.row is not None:
        parts.append(f"row {problem.row}")
    if problem.position is not None:
        parts.append(f"position {problem.position}")
    return ", ".join(parts)
