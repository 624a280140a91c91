"""`runlore key`: keys with which producers sign their events."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.options import TARGET
from runlore.cli.output import note, print_line
from runlore.schemas.errors import NotFoundError, SettingsError
from runlore.store.key_files import EncryptedKeyError, make_key, read_key, read_passphrase

_passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The key is encrypted with the passphrase in this file.",
)


@click.group()
def key() -> None:
    """Make the key with which a producer signs its events.

    The log's owner registers the public key for an actor (`runlore audit actor add`). From then on, events that it
    signed prove who logged them.

    \b
    Examples:
      runlore key new ada.key
      RUNLORE_PRODUCER_KEY=ada.key python train.py
    """


@key.command()
@click.argument("file", type=TARGET)
@_passphrase_option
def new(file: Path, passphrase_file: Path | None) -> None:
    """Make a private key in FILE, which only you can read, and print its public key. Overwrites nothing."""
    make_key(file, _passphrase(passphrase_file))
    print_line(_public(file, passphrase_file))
    note(f"give this public key to the log's owner, and set RUNLORE_PRODUCER_KEY={file}")


@key.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_passphrase_option
def show(file: Path, passphrase_file: Path | None) -> None:
    """Print the public key of the private key in FILE."""
    print_line(_public(file, passphrase_file))


def _public(file: Path, passphrase_file: Path | None) -> str:
    try:
        return read_key(file, _passphrase(passphrase_file)).public_key().public_bytes_raw().hex()
    except FileNotFoundError:
        raise NotFoundError(f"no key at {file}: `runlore key new {file}` makes one") from None
    except EncryptedKeyError as error:
        raise SettingsError(f"{error}: give --passphrase-file") from error


def _passphrase(file: Path | None) -> bytes | None:
    return None if file is None else read_passphrase(file)
