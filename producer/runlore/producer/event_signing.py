"""The key with which a producer signs its events; most have none, and load no cryptography."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from runlore.schemas.errors import RunloreError, SettingsError
from runlore.schemas.events import Signature
from runlore.schemas.settings import Settings
from runlore.schemas.signatures import DOMAIN, SIGNATURE_BYTES
from runlore.store.key_files import EncryptedKeyError, read_key, read_passphrase

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class EventSigner:
    """Signs encoded events."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self.public = key.public_key().public_bytes_raw()
        self.unsigned = Signature(key=self.public, value=bytes(SIGNATURE_BYTES))
        """The signature that an event has until it is signed."""
        self._sign = key.sign

    def signed(self, payload: bytes) -> bytes:
        """The event with its signature, where `unsigned` was."""
        body = payload[:-SIGNATURE_BYTES]
        return body + self._sign(DOMAIN + sha256(body).digest())


def signer_of(settings: Settings) -> EventSigner | None:
    """The key that the settings name, if any. Raises SettingsError, FolderError for one that others may write."""
    if settings.producer_key is None:
        return None
    path, secret = Path(settings.producer_key), settings.producer_passphrase_file
    try:
        return EventSigner(read_key(path, read_passphrase(Path(secret)) if secret else None))
    except FileNotFoundError:
        raise SettingsError(f"RUNLORE_PRODUCER_KEY: no key at {path}; `runlore key new {path}` makes one") from None
    except EncryptedKeyError as error:
        raise SettingsError(f"RUNLORE_PRODUCER_KEY: {error}: set RUNLORE_PRODUCER_PASSPHRASE_FILE") from error
    except ModuleNotFoundError as error:
        raise RunloreError("signing events needs the package cryptography: pip install 'runlore[signing]'") from error
