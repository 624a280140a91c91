"""Keys that sign checkpoints: Ed25519, in one file of the data folder, made at its first use.

Public keys are written as C2SP vkeys: ``<name>+<key ID, 8 hex digits>+<base64(0x01 || 32 bytes)>``.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from runlore.projector.audit.vkeys import ED25519, key_id_of, read_vkey, vkey_of
from runlore.schemas.errors import NotFoundError, RunloreError, SettingsError
from runlore.store.folder import DataDir
from runlore.store.ownership import read_private
from runlore.store.private_files import write_private
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
        key = _read_pem(read_private(path), passphrase)
    except FileNotFoundError:
        raise NotFoundError(f"no key at {path}: the projector makes it with its first checkpoint") from None
    except TypeError as error:  # it is encrypted, and there is no passphrase
        raise SettingsError(
            f"{path} is encrypted: set RUNLORE_SIGNER_PASSPHRASE_FILE, or RUNLORE_SIGNER_PASSPHRASE"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        wrong = "with this passphrase" if passphrase else _RESTORE
        raise SettingsError(f"{path} holds no key that can be read: {wrong}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"{path} holds another kind of key than Ed25519: {_RESTORE}")
    return Signer(name, key)


def _read_pem(content: bytes, passphrase: bytes | None) -> object:
    """The key of a PEM file. A passphrase that a plain file does not need is no error: the key was made before it."""
    encrypted = b"ENCRYPTED" in content
    return load_pem_private_key(content, password=passphrase if encrypted else None)


def read_passphrase(path: Path) -> bytes:
    """The passphrase in a file, without its last newline. Raises SettingsError."""
    try:
        passphrase = read_private(path).rstrip(b"\r\n")
    except OSError as error:
        raise SettingsError(f"no passphrase at {path}: {error.strerror}") from None
    if not passphrase:
        raise SettingsError(f"{path} is empty: it must hold the passphrase of the signing key")
    return passphrase


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
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_private(fresh, Ed25519PrivateKey.generate().private_bytes(*_pem(passphrase)))
    try:
        os.link(fresh, path)
    except FileExistsError:
        raise SettingsError(f"there is a key at {path}: move it away first") from None
    finally:
        fresh.unlink()
    return load_signer(path, name, passphrase)


def _pem(passphrase: bytes | None) -> tuple[Encoding, PrivateFormat, KeySerializationEncryption]:
    return Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
