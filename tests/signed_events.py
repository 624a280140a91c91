"""Events that a key signs, made without a producer."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from runlore.producer.event_signing import EventSigner
from runlore.schemas import Event
from runlore.schemas.codec import encode_event
from runlore.schemas.signatures import owned_id

ADA = Ed25519PrivateKey.from_private_bytes(
    bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")  # RFC 8032, 7.1, test 1
)
EVE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def signed(event: Event, key: Ed25519PrivateKey = ADA, **changes: Any) -> bytes:
    """The event as a producer with the key sends it."""
    signer = EventSigner(key)
    fields = {"producer_id": owned_id(event.producer_id, signer.public), "signature": signer.unsigned}
    return signer.signed(encode_event(replace(event, **fields | changes)))
