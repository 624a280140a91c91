"""Public keys as text: C2SP signed-note's "verifier keys", `<name>+<key ID>+<base64 of type and key>`."""

from __future__ import annotations

import base64
from hashlib import sha256

ED25519 = b"\1"
"""A signature of the note text."""
COSIGNATURE = b"\4"
"""A signature of a time and the note text, by a witness."""
_KEY_BYTES = 32


def key_id_of(name: str, kind: bytes, public: bytes) -> bytes:
    """Four bytes: which key a signature line means."""
    return sha256(name.encode() + b"\n" + kind + public).digest()[:4]


def vkey_of(name: str, kind: bytes, public: bytes) -> str:
    """The key as text."""
    return f"{name}+{key_id_of(name, kind, public).hex()}+{base64.b64encode(kind + public).decode()}"


def read_vkey(vkey: str, kind: bytes) -> tuple[str, bytes] | None:
    """Name and 32 bytes of a key of this kind; None when it is none, or its key ID is not its own."""
    name, _, rest = vkey.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        data, wanted = base64.b64decode(encoded, validate=True), bytes.fromhex(key_id)
    except ValueError:
        return None
    public = data[1:]
    right = name and data[:1] == kind and len(public) == _KEY_BYTES and key_id_of(name, kind, public) == wanted
    return (name, public) if right else None
