"""`runlore audit actor`: whose keys sign events, as the log's key says."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import click

from runlore.cli.auditing import epoch_of, signing_key, trusted_keys
from runlore.cli.options import data_dir_option, json_option, settings_for
from runlore.cli.output import note, print_json, print_line, print_table
from runlore.projector.audit.log_keys import trusted_actor_keys
from runlore.projector.audit.opening import open_audited
from runlore.schemas.errors import NotFoundError, RunloreError, SettingsError
from runlore.schemas.limits import MAX_NAME_BYTES
from runlore.schemas.settings import Settings
from runlore.schemas.signatures import KEY_BYTES, short_key
from runlore.store.audit.actor_keys import MAX_REASON_BYTES, ActorKey, LoggedActorKey
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock
from runlore.store.private_files import write_private
from runlore.store.replica_folder import no_log
from runlore.store.sqlite import open_reader

_LOOK_SECONDS = 0.2
_MAX_KEY_FILE_BYTES = 1000


class PublicKeyType(click.ParamType[str]):
    """A public key as `runlore key new` prints it, or a file that holds one."""

    name = "public key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = Path(value)
        text = path.read_text(errors="replace")[:_MAX_KEY_FILE_BYTES] if path.is_file() else value
        try:
            found = bytes.fromhex(text)
        except ValueError:
            found = b""
        if len(found) != KEY_BYTES:
            self.fail(f"{value!r} is no public key: `runlore key show FILE` prints one, 64 hex digits", param, ctx)
        return found.hex()


PUBLIC_KEY = PublicKeyType()
timeout_option = click.option(
    "--timeout", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds to wait for it."
)
reason_option = click.option("--reason", required=True, help="Why; it stays in the log.")


@click.group()
def actor() -> None:
    """Say in the log whose key signs events. Run it in the projector's folder, as the owner of the log's key.

    An event proves the actor of the key that signed it, from the registration on and until the revocation.
    """


@actor.command()
@click.argument("name")
@click.argument("public_key", type=PUBLIC_KEY)
@reason_option
@timeout_option
@data_dir_option
def add(name: str, public_key: str, reason: str, timeout: float, data_dir: Path | None) -> None:
    """Register PUBLIC_KEY for the actor NAME: events that it signs prove NAME from here on.

    \b
    Example:
      runlore audit actor add ada d75a980182b10ab7... --reason "handed over in person"
    """
    if not name.strip() or not name.isprintable() or len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        raise click.UsageError(f"NAME is one line of text, of at most {MAX_NAME_BYTES} bytes")
    settings, data = _folder(data_dir)
    found = _newest(data).get(public_key)
    if found is not None and found.stated.state == "registered":
        raise SettingsError(f"{short_key(public_key)} is registered for {found.stated.actor!r}: revoke it first")
    put_actor_key(settings, data, ActorKey("registered", name, public_key, _line(reason)), timeout)


@actor.command()
@click.argument("public_key", type=PUBLIC_KEY)
@reason_option
@timeout_option
@data_dir_option
def revoke(public_key: str, reason: str, timeout: float, data_dir: Path | None) -> None:
    """Revoke PUBLIC_KEY: what it signs from here on proves nobody. What it signed before stays proved."""
    settings, data = _folder(data_dir)
    found = _newest(data).get(public_key)
    if found is None or found.stated.state == "revoked":
        raise NotFoundError(f"{short_key(public_key)} is not registered: `runlore audit actor list`")
    put_actor_key(settings, data, ActorKey("revoked", found.stated.actor, public_key, _line(reason)), timeout)


@actor.command("list")
@data_dir_option
@json_option
def list_keys(data_dir: Path | None, as_json: bool) -> None:
    """List registrations and revocations that the log's key has signed, oldest first."""
    _, data = _folder(data_dir)
    found = _stated(data)
    if as_json:
        print_json([{"position": one.position, **one.stated._asdict()} for one in found])
        return
    if not found:
        print_line("no keys: `runlore audit actor add` registers one")
        return
    rows = [(f"{at:,}", stated.state, stated.actor, stated.key, stated.reason) for at, stated, _ in found]
    print_table(("event", "", "actor", "public key", "reason"), rows)


def _folder(data_dir: Path | None) -> tuple[Settings, DataDir]:
    settings = settings_for(data_dir)
    data = DataDir(settings.data_dir)
    if not data.log.exists():
        raise no_log(data) or NotFoundError(f"no log at {data.log}: keys are registered in the projector's folder")
    return settings, data


def _line(reason: str) -> str:
    if not reason.strip() or not reason.isprintable() or len(reason.encode(errors="replace")) > MAX_REASON_BYTES:
        raise click.UsageError(f"--reason is one line of text, of at most {MAX_REASON_BYTES:,} bytes")
    return reason


def _stated(data: DataDir) -> list[LoggedActorKey]:
    trusted = trusted_keys(data, epoch_of(data), ())
    with contextlib.closing(open_audited(data.log)) as log:
        return trusted_actor_keys(log, trusted)


def _newest(data: DataDir) -> dict[str, LoggedActorKey]:
    """The last statement about each key."""
    return {one.stated.key: one for one in _stated(data)}


def put_actor_key(settings: Settings, data: DataDir, stated: ActorKey, timeout: float) -> None:
    """Sign a statement, leave it for the projector, and wait until it is in the log and the view knows it."""
    with FolderLock(data.key_lock, "`runlore audit actor`"):
        if data.actor_key.exists():
            told = f"a statement waits in {data.actor_key}: start the projector, which puts it into the log"
            raise SettingsError(told)
        text = stated.signed(signing_key(settings, data))
        write_private(data.actor_key, text.encode())
    deadline = time.monotonic() + timeout
    while (found := _done(data, text)) is None:
        if time.monotonic() > deadline:
            raise RunloreError("the projector has not put it into the log yet; it will, once it runs: `runlore doctor`")
        time.sleep(_LOOK_SECONDS)
    note(f"{stated.state} {short_key(stated.key)} for {stated.actor!r}: event {found.position:,}")
    note("replicas, if there are any, go on with a snapshot that is newer: `runlore operator snapshot`")


def _done(data: DataDir, text: str) -> LoggedActorKey | None:
    """The statement where the log has it, once the view is that far."""
    found = next((one for one in _stated(data) if one.note == text), None)
    if found is None:
        return None
    with contextlib.closing(open_reader(data.current_view())) as view:
        (position,) = view.execute("SELECT position FROM view_state").fetchone()
    return found if position >= found.position else None
