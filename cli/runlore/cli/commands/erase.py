"""`runlore erase`: remove values for good, with an entry in the log that says so."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import click

from runlore.cli.auditing import epoch_of
from runlore.cli.bundling import resolved
from runlore.cli.options import REFERENCE, data_dir_option, json_option, project_option, settings_for
from runlore.cli.output import note, print_json, print_line
from runlore.producer.actor import this_actor
from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.audit.erasure_plan import ErasurePlan, plan_erasure
from runlore.projector.audit.key_history import current_key, read_changes
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.signers import key_source
from runlore.projector.views.generations import view_files
from runlore.query import Client
from runlore.schemas.errors import NotFoundError, RunloreError, SettingsError
from runlore.schemas.paths import format_path, parse_path
from runlore.schemas.references import EntityRef
from runlore.schemas.settings import Settings
from runlore.store.audit.erasure import MAX_ERASED, ErasedEvent, Erasure, redactions
from runlore.store.folder import DataDir
from runlore.store.folder_shard import log_origin
from runlore.store.private_files import write_private
from runlore.store.replica_folder import no_log
from runlore.store.sqlite import open_reader

_LOOK_SECONDS = 0.2
_LEFT = (
    "The stream still holds the values: stop Runlore, run `runlore stream restore --apply`, and remove the old stream "
    "that it keeps.",
    "Snapshots, if there are any: `runlore operator snapshot` makes a new one, with which replicas begin again.",
    "Out of reach: backups, bundles, exports, and what readers have kept.",
)


@click.command()
@click.argument("entity", type=REFERENCE)
@click.argument("keys", nargs=-1, metavar="[KEY...]")
@click.option("--reason", required=True, help="Why; it takes the values' place, and stays.")
@click.option("--who", help="Who asked for it; else the user of this process. It stays, too.")
@click.option("--yes", is_flag=True, help="Do it. Without it, only what would be erased is printed.")
@click.option("--timeout", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds to wait for it.")
@json_option
@project_option
@data_dir_option
def erase(
    entity: EntityRef,
    keys: tuple[str, ...],
    reason: str,
    who: str | None,
    yes: bool,
    timeout: float,
    as_json: bool,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Erase the values of ENTITY, or of some of its keys, from the log and the view, for good.

    Run it in the projector's folder, as the owner of the key that signs the log. Without a version, ENTITY
    means all its versions. A signed entry in the log says which values of which events were erased, why, and
    for whom; in their place the history shows the reason. Who logged a value, and when, stays. So does the
    hash of each event, and every proof holds.

    \b
    Examples:
      runlore erase model:churn@3 customer --reason "customer left"             # what would be erased
      runlore erase model:churn@3 customer --reason "customer left" --yes
    """
    who = who or this_actor().user
    if not all(text.strip() and text.isprintable() for text in (reason, who)):
        raise click.UsageError("--reason and --who are one line of text each")
    settings = settings_for(data_dir, project)
    data = DataDir(settings.data_dir)
    if not data.log.exists():
        raise no_log(data) or NotFoundError(f"no log at {data.log}: values are erased in the projector's folder")
    with Client(settings.data_dir, settings.project) as client:
        meant = resolved(client, entity)
    paths = [parse_path(key) for key in keys]
    plan = plan_erasure(data.current_view(), data.log, settings.project, meant, paths, reason)
    if yes:
        for start in range(0, len(plan.events), MAX_ERASED):
            events = tuple(plan.events[start : start + MAX_ERASED])
            put_erasure(settings, data, Erasure(reason, who, events), timeout)
    if as_json:
        print_json({**plan._asdict(), "events": [event.position for event in plan.events], "erased": yes})
    else:
        _say(plan, yes)
    if yes:
        if len(view_files(data)) > 1:
            note(
                "An older view, with the values, is still open somewhere. The projector removes it when its reader "
                "reads again or ends, or `runlore stream restore --apply` does."
            )
        for line in _LEFT:
            note(line)
    else:
        note("nothing was erased: --yes does it. It cannot be undone")


def _say(plan: ErasurePlan, done: bool) -> None:
    for event in plan.events:
        print_line(f"event {event.position:,}: {', '.join(map(format_path, event.paths))}")
    verb = "erased" if done else "would be erased"
    print_line(f"{plan.values:,} values of {len(plan.events):,} events {verb}, which are about {', '.join(plan.about)}")
    if plan.unsalted:
        note(
            f"{plan.unsalted:,} of these events have no salt, being of an earlier version or another program: who "
            "knows the rest of such an event can try values against its hash, which stays"
        )


def put_erasure(settings: Settings, data: DataDir, erasure: Erasure, timeout: float) -> None:
    """Sign an erasure, leave it for the projector, and wait until it is executed and the view made again."""
    if data.erasure.exists():
        raise SettingsError(f"an erasure waits in {data.erasure}: start the projector, which puts it into the log")
    write_private(data.erasure, _signed(settings, data, erasure).encode())
    deadline = time.monotonic() + timeout
    while not _done(data, erasure.events):
        if time.monotonic() > deadline:
            raise RunloreError("the projector has not erased it yet; it will, once it runs: `runlore doctor`")
        time.sleep(_LOOK_SECONDS)


def _signed(settings: Settings, data: DataDir, erasure: Erasure) -> str:
    source, base = key_source(settings), log_origin(data, epoch_of(data))
    with contextlib.closing(open_audited(data.log)) as log:
        changes = read_changes(log)
    own = source.load(base).verifier
    now = current_key(own, changes)
    if now.public != own.public:
        raise SettingsError(f"{source} is not the key that signs this log now, which is {now.vkey}")
    return erasure.signed(source.load(now.name))


def _done(data: DataDir, events: Sequence[ErasedEvent]) -> bool:
    with contextlib.closing(open_reader(data.log)) as log:
        rows = redactions(log)
    if any(event.position not in rows or rows[event.position][2] != event.redacted_hash for event in events):
        return False
    with (
        contextlib.closing(ArchiveReader(data.log)) as reader,
        contextlib.closing(open_reader(data.current_view())) as view,
    ):
        return int(view.execute("PRAGMA user_version").fetchone()[0]) == reader.erased_at
