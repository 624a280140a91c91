"""`runlore audit key`: the key that signs the log, and how it gives way to the next one."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from runlore.cli.auditing import KeyType, epoch_of
from runlore.cli.options import data_dir_option, settings_for
from runlore.cli.output import note, print_line
from runlore.projector.audit.key_history import current_key, read_changes
from runlore.projector.audit.keys import Verifier, load_signer, make_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.signers import key_source, passphrase_of
from runlore.projector.audit.statements import PendingStatement, public_key_of, require_none_pending, write_statement
from runlore.schemas.errors import SettingsError
from runlore.schemas.settings import Settings
from runlore.store.audit.tree import read_tree
from runlore.store.folder import DataDir
from runlore.store.folder_shard import log_origin
from runlore.store.lock import FolderLock

_TAKES_EFFECT = "it takes effect when the projector has put it into the log"


@click.group(invoke_without_command=True)
@click.option("--new", is_flag=True, help="Make another key, because the one that signed is lost.")
@click.option("--old", type=KeyType(), metavar="VKEY|FILE", help="With --new: the public key of the lost one.")
@data_dir_option
@click.pass_context
def key(ctx: click.Context, new: bool, old: Verifier | None, data_dir: Path | None) -> None:
    """Print the public key of this log's checkpoints; hand it to whoever will check them.

    `runlore audit key rotate` replaces a key that is there. After --new the log says that the old key was lost:
    nothing ties the new one to it, so `runlore audit verify` needs both, --key OLD --key NEW.
    """
    if ctx.invoked_subcommand is not None:
        return
    settings = settings_for(data_dir)
    data = DataDir(settings.data_dir)
    if new:
        with _changing(data):
            print_line(_replace_lost(settings, data, old).vkey)
        note(f"hand this key out; {_TAKES_EFFECT}")
        return
    own = key_source(settings).load(log_origin(data, epoch_of(data))).verifier
    with contextlib.closing(open_audited(data.log)) as log:
        print_line(current_key(own, read_changes(log)).vkey)


@key.command()
@click.option(
    "--to", type=KeyType(), metavar="VKEY|FILE", help="The public key that signs next, where its private part is not."
)
@data_dir_option
def rotate(to: Verifier | None, data_dir: Path | None) -> None:
    """Have another key sign from now on: the old key says so in the log, and so does the new one.

    The new key is made beside the old one, and takes its place when the statement is in the log. With --to it is one
    that another place keeps (an HSM behind RUNLORE_SIGNER_COMMAND): give it to the projector then.
    """
    settings = settings_for(data_dir)
    data = DataDir(settings.data_dir)
    with _changing(data):
        print_line(_rotate(settings, data, to).vkey)
    note(f"hand this key out; {_TAKES_EFFECT}. Who trusts the old one needs nothing new: the log says who follows it")


def _changing(data: DataDir) -> FolderLock:
    """Two at once would put the key of one beside the statement of the other."""
    epoch_of(data)  # raises where there is no log: then there is nothing to lock
    return FolderLock(data.key_lock, "`runlore audit key`")


def _rotate(settings: Settings, data: DataDir, to: Verifier | None) -> Verifier:
    require_none_pending(data)
    source, base = key_source(settings), log_origin(data, epoch_of(data))
    with contextlib.closing(open_audited(data.log)) as log:
        changes, (_, tree) = read_changes(log), read_tree(log)
        if PendingStatement(data, source, epoch_of(data)).unsettled(log):
            raise SettingsError("the log does not say yet that it was restored: start the projector first")
    own = source.load(base).verifier
    now = current_key(own, changes)
    if now.public != own.public:
        raise SettingsError(f"{source} is not the key that signs this log now, which is {now.vkey}")
    if to is not None and to.public in {now.public, *(key.public for one in changes for key in (one.old, one.new))}:
        raise SettingsError("this key signed the log before, and is believed for those trees only: give a new one")
    old = source.load(now.name)
    if to is None and settings.signer_command is not None:
        raise SettingsError("RUNLORE_SIGNER_COMMAND keeps the key: give the public part of the next one with --to")
    if to is None:
        data.next_key.unlink(missing_ok=True)  # of a rotation that did not come to its statement
        new = make_signer(data.next_key, now.name, passphrase_of(settings))
        signers, public = [old, new], new.verifier
    else:
        signers, public = [old], Verifier(now.name, to.public)
    write_statement(data, "rotated", (tree.size, tree.root()), (old.verifier, public), signers)
    return public


def _replace_lost(settings: Settings, data: DataDir, old: Verifier | None) -> Verifier:
    require_none_pending(data)
    if settings.signer_command is not None:
        raise SettingsError("RUNLORE_SIGNER_COMMAND keeps the key: --new makes one only in a file")
    base = log_origin(data, epoch_of(data))
    with contextlib.closing(open_audited(data.log)) as log:
        changes, (_, tree) = read_changes(log), read_tree(log)
        signed = log.execute("SELECT 1 FROM checkpoints").fetchone() is not None
    if not signed:
        return make_signer(data.checkpoint_key, base, passphrase_of(settings)).verifier
    lost = old or public_key_of(data, key_source(settings), base)
    name = current_key(lost, changes).name
    make_signer(data.checkpoint_key, name, passphrase_of(settings))
    new = load_signer(data.checkpoint_key, name, passphrase_of(settings))
    write_statement(data, "lost", (tree.size, tree.root()), (Verifier(name, lost.public), new.verifier), [new])
    return new.verifier
