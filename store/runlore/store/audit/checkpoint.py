"""Signed checkpoints: C2SP tlog-checkpoint in C2SP signed-note form, signed with Ed25519.

runlore/RUNLORE/<epoch>                 the origin
1234                                    leaves
<base64 of the root hash>

— runlore/RUNLORE/<epoch> <base64 of key ID (4 bytes) || signature (64 bytes)>
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

from runlore.schemas.errors import CorruptLogError
from runlore.store.audit.merkle import HASH_BYTES

MAX_NOTE_BYTES = 64 * 1024
MAX_SIGNATURES = 64
"""The specification wants at least 16 accepted."""

_SIGNATURE = "\u2014 "


class TrustedKey(Protocol):
    """A trusted public key: the name it signs under, its ID, and whether it made a signature."""

    @property
    def name(self) -> str: ...

    @property
    def key_id(self) -> bytes: ...

    def verifies(self, message: bytes, signature: bytes) -> bool: ...


class SigningKey(Protocol):
    """A private key."""

    @property
    def verifier(self) -> TrustedKey: ...

    def sign(self, message: bytes) -> bytes: ...


AnyTrustedKey = TypeVar("AnyTrustedKey", bound=TrustedKey)


class Checkpoint(NamedTuple):
    """A log's name, the number of its leaves, and their root hash."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note text, which is what gets signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def signed(self, signer: SigningKey) -> str:
        """The signed note."""
        text = self.text()
        return f"{text}\n{signature_line(signer, text.encode())}"


def signature_line(signer: SigningKey, message: bytes) -> str:
    """The line of a note by which a key signs its text."""
    return signature_text(signer.verifier, signer.sign(message))


def signature_text(key: TrustedKey, signature: bytes) -> str:
    """The line of a note that holds this signature."""
    return f"{_SIGNATURE}{key.name} {base64.b64encode(key.key_id + signature).decode()}\n"


def read_checkpoint(note: str, trusted: Sequence[TrustedKey]) -> Checkpoint:
    """The checkpoint of a note that a trusted key of that very log has signed: the key's name is the origin.

    Signatures by other keys (witnesses) are passed over. Raises CorruptLogError when no trusted key has signed it,
    when the signature of one is wrong, or when it is no checkpoint.
    """
    return signed_by(note, trusted)[0]


def signed_by(note: str, trusted: Sequence[AnyTrustedKey]) -> tuple[Checkpoint, AnyTrustedKey]:
    """The same, and the key that signed it."""
    text, lines = note_lines(note)
    known = {(key.name, key.key_id): key for key in trusted}
    signers: list[AnyTrustedKey] = []
    for line in lines:
        name, key_id, signature = read_signature(line)
        key = known.get((name, key_id))
        if key is None:
            continue
        if not key.verifies(text.encode(), signature):
            raise CorruptLogError(f"the signature of {name} on this checkpoint is wrong: it was changed")
        signers.append(key)
    if not signers:
        raise CorruptLogError("no trusted key has signed this checkpoint: give the right one with --key")
    checkpoint = parse_checkpoint(text)
    own = next((key for key in signers if key.name == checkpoint.origin), None)
    if own is None:
        raise CorruptLogError(f"this checkpoint of {checkpoint.origin} is signed by {signers[0].name} only")
    return checkpoint, own


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint that a note text is, extension lines ignored. Raises CorruptLogError."""
    lines = text.split("\n")
    try:
        origin, size, root = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
    except (IndexError, ValueError):
        raise CorruptLogError("this is not a checkpoint: it has no origin, size and root hash") from None
    if not origin or lines[-1] or not all(lines[:-1]) or str(size) != lines[1] or size < 0 or len(root) != HASH_BYTES:
        raise CorruptLogError("this is not a checkpoint: its origin, size or root hash is malformed")
    return Checkpoint(origin, size, root)


def read_unchecked(note: str) -> tuple[Checkpoint, list[str]]:
    """Return the checkpoint of a note and its claimed signers (name+key ID, hexadecimal), without checking anything.

    For showing it beside a verification that did check. Raises CorruptLogError when it is no signed checkpoint.
    """
    text, lines = note_lines(note)
    signers = [read_signature(line) for line in lines]
    return parse_checkpoint(text), [f"{name}+{key_id.hex()}" for name, key_id, _ in signers]


def note_lines(note: str) -> tuple[str, list[str]]:
    """The text of a note with its last newline, and its signature lines. Raises CorruptLogError."""
    text, blank, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    control = any(char < " " and char != "\n" for char in note)
    if not blank or lines.pop() or not 0 < len(lines) <= MAX_SIGNATURES or control or len(note) > MAX_NOTE_BYTES:
        raise CorruptLogError("this is not a signed note: text, an empty line and signature lines are wanted")
    return text + "\n", lines


def read_signature(line: str) -> tuple[str, bytes, bytes]:
    """Name, key ID and signature of a signature line. Raises CorruptLogError."""
    name, _, encoded = line.removeprefix(_SIGNATURE).partition(" ")
    try:
        data = base64.b64decode(encoded, validate=True)
    except ValueError:
        data = b""
    if not line.startswith(_SIGNATURE) or not name or len(data) < 5:
        raise CorruptLogError(f"this is not a signature line: {line[:80]!r}")
    return name, data[:4], data[4:]
