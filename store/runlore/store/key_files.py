"""Private Ed25519 keys in PEM files, readable by their owner only: that of the log, and those of producers.

Importing this module loads no cryptography: a producer that does not sign has none.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from runlore.schemas.errors import SettingsError
from runlore.store.ownership import read_private
from runlore.store.private_files import write_private

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class EncryptedKeyError(SettingsError):
    """The file is encrypted, and no passphrase was given."""


class UnreadableKeyError(SettingsError):
    """The file holds no such key, or the passphrase is another one."""


def read_key(path: Path, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """The key in a file. Raises FileNotFoundError, FolderError, EncryptedKeyError, UnreadableKeyError.

    A passphrase that a plain file does not need is no error: the key was made before it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = read_private(path)
    try:
        key = load_pem_private_key(content, password=passphrase if b"ENCRYPTED" in content else None)
    except TypeError as error:
        raise EncryptedKeyError(f"{path} is encrypted") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        wrong = " with this passphrase" if passphrase else ""
        raise UnreadableKeyError(f"{path} holds no key that can be read{wrong}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UnreadableKeyError(f"{path} holds another kind of key than Ed25519")
    return key


def make_key(path: Path, passphrase: bytes | None = None) -> None:
    """Make a key. Raises SettingsError when there is one: a key is never replaced."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    content = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_private(fresh, content)
    try:
        os.link(fresh, path)
    except FileExistsError:
        raise SettingsError(f"there is a key at {path}: move it away first") from None
    finally:
        fresh.unlink()


def read_passphrase(path: Path) -> bytes:
    """The passphrase in a file, without its last newline. Raises SettingsError."""
    try:
        passphrase = read_private(path).rstrip(b"\r\n")
    except OSError as error:
        raise SettingsError(f"no passphrase at {path}: {error.strerror}") from None
    if not passphrase:
        raise SettingsError(f"{path} is empty: it must hold the passphrase of the signing key")
    return passphrase
