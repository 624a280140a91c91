"""Cosignatures: C2SP tlog-cosignature, Ed25519 (`cosignature/v1`).

A cosigner says that the checkpoint is the largest consistent tree of that log that it has seen, and when it said so.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from runlore.projector.audit.keys import Verifier
from runlore.projector.audit.vkeys import COSIGNATURE, key_id_of, read_vkey, vkey_of
from runlore.schemas.errors import CorruptLogError, SettingsError
from runlore.store.audit.checkpoint import SigningKey, note_lines, read_signature, signature_text

_TIME = struct.Struct(">Q")
_SIGNATURE_BYTES = 64


class Cosigner(NamedTuple):
    """The public key of a witness, and the name it signs under."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes: which key a signature line means."""
        return key_id_of(self.name, COSIGNATURE, self.public)

    @property
    def vkey(self) -> str:
        """The key as text."""
        return vkey_of(self.name, COSIGNATURE, self.public)

    @property
    def label(self) -> str:
        """Name and key ID, by which cosignatures are kept."""
        return f"{self.name}+{self.key_id.hex()}"

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Return whether it cosigned this note text; `signature` begins with the time."""
        if len(signature) != _TIME.size + _SIGNATURE_BYTES:
            return False
        (seconds,) = _TIME.unpack_from(signature)
        return Verifier(self.name, self.public).verifies(_message(message, seconds), signature[_TIME.size :])

    @classmethod
    def parse(cls, vkey: str) -> Cosigner:
        """The key that a vkey stands for. Raises SettingsError when it is none of a cosigner."""
        found = read_vkey(vkey, COSIGNATURE)
        if found is None:
            raise SettingsError(
                f"{vkey.strip()!r} is not the public key of a witness: `runlore witness` prints its own"
            )
        return cls(*found)


def cosign(text: str, signer: SigningKey, name: str, public: bytes, seconds: int) -> str:
    """The line by which a witness cosigns a note text at a time."""
    signature = signer.sign(_message(text.encode(), seconds))
    return signature_text(Cosigner(name, public), _TIME.pack(seconds) + signature)


def cosigned_at(note: str, cosigner: Cosigner) -> int | None:
    """When the cosigner said that it knows this note's checkpoint (Unix seconds); None if it did not."""
    return next((seconds for _, seconds in cosignatures(note, cosigner)), None)


def cosignatures(note: str, cosigner: Cosigner) -> list[tuple[str, int]]:
    """The lines of a note that this cosigner wrote, verified, and their times."""
    text, lines = note_lines(note)
    found: list[tuple[str, int]] = []
    for line in lines:
        try:
            name, key_id, signature = read_signature(line)
        except CorruptLogError:
            continue
        if (name, key_id) == (cosigner.name, cosigner.key_id) and cosigner.verifies(text.encode(), signature):
            found.append((f"{line}\n", int(_TIME.unpack_from(signature)[0])))
    return found


def _message(text: bytes, seconds: int) -> bytes:
    return b"cosignature/v1\ntime %d\n" % seconds + text
