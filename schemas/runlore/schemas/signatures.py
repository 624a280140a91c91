"""Signatures of events: who holds a producer's key has made the event, whoever sent it.

    signature = Ed25519(key, "runlore/event/v1\\n" || SHA-256(all bytes of the event before the signature's 64))

The signature is the event's last field and ends with its value, so the payload ends with these 64 bytes. The producer's
ID ends with "+" and the first 32 hex digits of the key: such an ID takes events of that key only, and the key signs
under such IDs only. So the rule needs nothing but the event itself, and nobody can take a producer's ID by being the
first to use it.

Only `signature_problem` needs the package `cryptography`.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

import msgspec

from runlore.schemas.events import Event, Signature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

DOMAIN = b"runlore/event/v1\n"
KEY_BYTES = 32
SIGNATURE_BYTES = 64
MARK = "+"
"""Before the digits of the key in a producer's ID."""
OWNER_DIGITS = 32
SHORT_DIGITS = 16
"""Hex digits by which people tell keys apart."""
_HEX = frozenset("0123456789abcdef")


Standing = Literal["proved", "unknown", "revoked"]
"""Of a key where an event was signed with it: an actor's, nobody's that the log knows, or no longer the actor's."""


class Signer(msgspec.Struct, frozen=True, gc=False):
    """The key that signed an event, and whose it was at that position of the log."""

    key: str
    """The public key, 64 hex digits."""
    standing: Standing
    actor: str | None = None
    """The name that the log's key has registered for it; proved only if `standing` says so."""

    @property
    def proved(self) -> str | None:
        """The actor that the signature proves, if any."""
        return self.actor if self.standing == "proved" else None

    def __str__(self) -> str:
        if self.standing == "proved":
            return f"proved: {self.actor}"
        if self.standing == "revoked":
            return f"signed with the revoked key {short_key(self.key)} of {self.actor}"
        return f"signed by {short_key(self.key)}, whom nobody has registered"


def owned_id(made: str, key: bytes) -> str:
    """The producer ID for events that a key signs."""
    return f"{made}{MARK}{key.hex()[:OWNER_DIGITS]}"


def owner_of(producer_id: str) -> str | None:
    """The digits of the key that signs the events of a producer; None for one that does not sign."""
    _, mark, digits = producer_id.rpartition(MARK)
    return digits if mark and len(digits) == OWNER_DIGITS and not set(digits) - _HEX else None


def short_key(key: bytes | str) -> str:
    """A public key as people see it."""
    return (key if isinstance(key, str) else key.hex())[:SHORT_DIGITS]


def hash_to_sign(payload: bytes) -> bytes:
    """SHA-256 of the signed bytes of an event."""
    return sha256(memoryview(payload)[:-SIGNATURE_BYTES]).digest()


def signature_problem(event: Event, payload: bytes, erased: bool) -> str | None:
    """Return why the signature of a decoded event does not hold; None if it does, or for an event without one.

    `erased`: values were erased from it, as the log says; then `payload` is what was left.
    """
    owner, signature = owner_of(event.producer_id), event.signature
    if signature is None:
        if owner is None:
            return None
        return f"producer {event.producer_id} signs its events with key {short_key(owner)}, and this one is unsigned"
    if (len(signature.key), len(signature.value)) != (KEY_BYTES, SIGNATURE_BYTES):
        return f"a key has {KEY_BYTES} bytes and a signature {SIGNATURE_BYTES}"
    if owner != signature.key.hex()[:OWNER_DIGITS]:
        whose = "has an ID for unsigned events" if owner is None else f"signs with key {short_key(owner)}"
        return f"producer {event.producer_id} {whose}, and this event is signed with key {short_key(signature.key)}"
    digest = _signed_hash(signature, payload, erased)
    if isinstance(digest, str):
        return digest
    return None if _verifies(signature.key, signature.value, digest) else "its signature does not hold: it was changed"


def _signed_hash(signature: Signature, payload: bytes, erased: bool) -> bytes | str:
    """The hash that the signature must be of, or why there is none."""
    if erased:
        return signature.hash or "values were erased from it, and the hash that was signed is not there"
    if signature.hash:
        return "it says that values were erased from it, and no erasure does"
    if not payload.endswith(signature.value):
        return "its signature is not its last field"
    return hash_to_sign(payload)


def _verifies(key: bytes, signature: bytes, digest: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        _public_key(key).verify(signature, DOMAIN + digest)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=1024)
def _public_key(key: bytes) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(key)
