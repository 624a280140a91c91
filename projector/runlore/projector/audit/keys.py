"""Keys that sign checkpoints: Ed25519, in one file of the data folder, made at its first use.

Public keys are written as C2SP vkeys: ``<name>+<key ID, 8 hex digits>+<base64(0x01 || 32 bytes)>``.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from runlore.projector.audit.vkeys import ED25519, key_id_of, read_vkey, vkey_of
from runlore.schemas.errors import NotFoundError, RunloreError, SettingsError
from runlore.store.folder import DataDir
from runlore.store.key_files import EncryptedKeyError, UnreadableKeyError, make_key, read_key
from runlore.store.replica_folder import require_no_replica

_RESTORE = (
    "restore it from a backup, or move it away: then a new key signs from here on, and auditors must be given it "
    "(`runlore audit key`)"
)


class SigningError(RunloreError):
    """A key that is there and signs nothing."""


class Verifier(NamedTuple):
    """One trusted public key and the name it signs under."""

    name: str
    public: bytes
    """32 bytes (RFC 8032)."""

    @property
    def key_id(self) -> bytes:
        """Four bytes: which key a signature line means (C2SP signed-note, "Ed25519 signatures")."""
        return key_id_of(self.name, ED25519, self.public)

    @property
    def vkey(self) -> str:
        """The key as text, to be handed to auditors."""
        return vkey_of(self.name, ED25519, self.public)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Return whether the key made this signature of the message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    @classmethod
    def parse(cls, vkey: str) -> Verifier:
        """The key that a vkey stands for. Raises SettingsError when it is none, or its key ID is not its own."""
        found = read_vkey(vkey, ED25519)
        if found is None:
            raise SettingsError(f"{vkey.strip()!r} is not a public key: `runlore audit key` prints one")
        return cls(*found)


class Signer:
    """The private key of one data folder."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.verifier = Verifier(name, key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(message)


def load_signer(path: Path, name: str, passphrase: bytes | None = None) -> Signer:
    """The key at `path`, to sign under `name`. Raises NotFoundError, SettingsError."""
    try:
        return Signer(name, read_key(path, passphrase))
    except FileNotFoundError:
        raise NotFoundError(f"no key at {path}: the projector makes it with its first checkpoint") from None
    except EncryptedKeyError as error:
        raise SettingsError(f"{error}: set RUNLORE_SIGNER_PASSPHRASE_FILE, or RUNLORE_SIGNER_PASSPHRASE") from error
    except UnreadableKeyError as error:
        raise SettingsError(f"{error}: {_RESTORE}") from error


def load_or_make_signer(path: Path, name: str, passphrase: bytes | None = None) -> Signer:
    """The same, with a new key where there is none."""
    if not path.exists():
        with contextlib.suppress(SettingsError):  # another process was first, and its key holds
            return make_signer(path, name, passphrase)
    return load_signer(path, name, passphrase)


def make_signer(path: Path, name: str, passphrase: bytes | None = None) -> Signer:
    """Make a key, readable by its owner only. Raises SettingsError when there is one: a key is never replaced; and in
    a replica's folder, which never signs."""
    require_no_replica(DataDir(path.parent))
    make_key(path, passphrase)
    return load_signer(path, name, passphrase)
