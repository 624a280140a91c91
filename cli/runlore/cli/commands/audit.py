"""`runlore audit`: is the log what it was, and proofs that others can check."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import click
import msgspec

from runlore.cli.auditing import (
    epoch_of,
    key_option,
    read_note,
    remember,
    show_report,
    trusted_keys,
    tsa_option,
    witness_policy_option,
)
from runlore.cli.commands.audit_actor import actor
from runlore.cli.commands.audit_bundles import bundle, check
from runlore.cli.commands.audit_key import key
from runlore.cli.commands.audit_proofs import prove, trail
from runlore.cli.options import TARGET, data_dir_option, force_option, json_option, require_new, settings_for
from runlore.cli.output import note, print_exact, print_json
from runlore.cli.progress import progress_bar
from runlore.projector.audit.findings import VerifyReport
from runlore.projector.audit.keys import Verifier
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.prove import newest_checkpoint
from runlore.projector.audit.stream_compare import compare_stream
from runlore.projector.audit.timestamp_verify import require_stamps
from runlore.projector.audit.timestamps import Authority
from runlore.projector.audit.verify import verify_log
from runlore.projector.audit.view_compare import compare_view
from runlore.projector.audit.witness_policy import read_policy
from runlore.projector.audit.witness_verify import require_witnesses
from runlore.schemas.errors import CorruptLogError, NotFoundError, ServerUnavailableError, SettingsError
from runlore.schemas.settings import Settings
from runlore.store.folder import DataDir
from runlore.store.folder_shard import require_own_shard
from runlore.store.replica_folder import no_log
from runlore.store.sqlite import sqlite


@click.group()
def audit() -> None:
    """Verify the log, and prove to others what is in it.

    \b
    Examples:
      runlore audit verify --full
      runlore audit checkpoint --out /somewhere/else/checkpoint.txt
      runlore audit bundle model:churn@3 --out churn.bundle
      runlore audit check churn.bundle --key KEY
    """


for _command in (prove, bundle, check, trail, key, actor):
    audit.add_command(_command)


@audit.command()
@key_option
@click.option(
    "--checkpoint",
    "checkpoints",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A checkpoint that was copied elsewhere: the log must still have its root. May be given again.",
)
@witness_policy_option
@tsa_option
@click.option("--full", is_flag=True, help="Compare every message with JetStream, not a sample.")
@click.option("--offline", is_flag=True, help="Do not compare with JetStream.")
@click.option("--replay/--no-replay", default=True, show_default=True, help="Replay the log and compare the view.")
@data_dir_option
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    keys: tuple[Verifier, ...],
    checkpoints: tuple[Path, ...],
    witness_policy: Path | None,
    tsa_cert: Path | None,
    full: bool,
    offline: bool,
    replay: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Recompute everything from the raw bytes of the log; exits with 4 at the first thing that is wrong.

    Hashes every archived message into the tree, checks every signed checkpoint, compares the log with
    JetStream, and replays it to compare the view, row by row. The projector may run meanwhile.
    """
    settings = settings_for(data_dir)
    data = DataDir(settings.data_dir)
    policy = read_policy(witness_policy) if witness_policy is not None else None
    authority = Authority.read(tsa_cert) if tsa_cert is not None else None
    report = _verify_log(data, keys, checkpoints)
    if policy is not None and not report.problems:
        require_witnesses(data.log, policy, report)
    if authority is not None and not report.problems:
        require_stamps(data.log, authority, report)
    if offline or (report.problems and not report.position):
        report.not_compared["stream"] = "--offline" if offline else "the log does not say where it ends"
    else:
        _compare_stream(settings, data, report, full)
    if not replay or report.problems:
        report.not_compared["view"] = "--no-replay" if not replay else "the log is wrong"
    else:
        _compare_view(data, report, keys)
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        show_report(report)
    remember(data, report, own_key=not keys)
    if not keys:
        note("signatures were checked with the data folder's own key; --key takes one kept elsewhere")
    if report.problems:
        ctx.exit(4)


def _verify_log(data: DataDir, keys: tuple[Verifier, ...], checkpoints: tuple[Path, ...]) -> VerifyReport:
    if (refusal := no_log(data)) is not None:
        raise refusal
    try:
        trusted = trusted_keys(data, epoch_of(data), keys)
    except (NotFoundError, CorruptLogError) as error:
        try:
            report = verify_log(data.log, keys)  # says what is wrong; checkpoints have no log to be held against
        except NotFoundError:
            if checkpoints:
                raise CorruptLogError(f"there is no log that {checkpoints[0]} could speak of: {error}") from error
            raise
        if not report.problems:
            raise
        return report
    outside = [read_note(path, trusted).checkpoint for path in checkpoints]
    with progress_bar("hashing the log") as progress:
        return verify_log(data.log, trusted, outside, progress)


def _compare_stream(settings: Settings, data: DataDir, report: VerifyReport, full: bool) -> None:
    with contextlib.closing(open_audited(data.log)) as log, progress_bar("comparing the stream") as progress:
        try:
            require_own_shard(settings)
            report.stream, problems = asyncio.run(compare_stream(settings, log, full, progress))
        except (ServerUnavailableError, SettingsError) as error:
            report.not_compared["stream"] = str(error)
        except sqlite.DatabaseError as error:  # the file is damaged, which the report says already
            report.not_compared["stream"] = f"the log cannot be read: {error}"
        else:
            report.problems += problems


def _compare_view(data: DataDir, report: VerifyReport, keys: tuple[Verifier, ...]) -> None:
    with progress_bar("replaying the log") as progress, progress_bar("comparing the view") as tables:
        try:
            report.view, problems = compare_view(data, progress, tables, keys)
        except NotFoundError as error:
            report.not_compared["view"] = str(error)
        else:
            report.problems += problems


@audit.command()
@key_option
@click.option("--out", type=TARGET, metavar="FILE", help="Write it to this file.")
@force_option
@data_dir_option
def checkpoint(keys: tuple[Verifier, ...], out: Path | None, force: bool, data_dir: Path | None) -> None:
    """Print the newest signed checkpoint, to be kept where the operator of this log cannot change it.

    \b
    Example:
      runlore audit checkpoint --out /mnt/elsewhere/checkpoint-$(date +%F).txt
    """
    if out is not None:
        require_new(out, force)
    data = DataDir(settings_for(data_dir).data_dir)
    with contextlib.closing(open_audited(data.log)) as log:
        newest = newest_checkpoint(log, trusted_keys(data, epoch_of(data), keys))
    if out is None:
        print_exact(newest.note)
    else:
        out.write_text(newest.note, encoding="utf-8")
        note(f"checkpoint of {newest.checkpoint.size:,} leaves written to {out}")
