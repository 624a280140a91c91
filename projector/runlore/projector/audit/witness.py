"""A witness: cosigns checkpoints of logs that it knows, and never two histories of one log (C2SP tlog-witness).

It remembers the size and the root of the last checkpoint of each log, in a file that is written before it cosigns.
One thing is not in the specification: a log may hand in the statement by which its key gives way to the next one.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import msgspec

from runlore.projector.audit.cosignatures import cosign
from runlore.projector.audit.key_history import KeyChange, checked_statement
from runlore.projector.audit.keys import Signer, Verifier
from runlore.schemas.errors import CorruptLogError, SettingsError
from runlore.store.audit.checkpoint import Checkpoint, note_lines, parse_checkpoint, read_checkpoint
from runlore.store.audit.merkle import HASH_BYTES, check_consistency
from runlore.store.private_files import read_trusted, write_struct

MAX_PROOF_LINES = 63
MAX_BODY = 128 * 1024
SIZE_TYPE = "text/x.tlog.size"


class SeenLog(msgspec.Struct, frozen=True):
    """What a witness remembers of a log."""

    size: int
    root: str
    """Hexadecimal."""
    keys: tuple[str, ...]
    """Its public keys (vkeys), those it was told of later among them."""
    retired: tuple[str, ...] = ()
    """Keys that gave way to another one."""


class WitnessMemory(msgspec.Struct, frozen=True):
    """All that a witness remembers, by origin; the content of witness.json."""

    logs: dict[str, SeenLog] = {}


class WitnessAnswer(NamedTuple):
    """An HTTP answer."""

    status: HTTPStatus
    body: str
    content_type: str = "text/plain; charset=utf-8"


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, body: str, content_type: str = "text/plain; charset=utf-8") -> None:
        self.answer = WitnessAnswer(status, f"{body}\n", content_type)
        super().__init__(body)


class Witness:
    """One witness over one file. Thread-safe; one process has the file."""

    def __init__(self, signer: Signer, memory: Path, logs: Iterable[Verifier]) -> None:
        """`logs`: keys of logs that it cosigns for; those it learned later are in its memory.

        Raises SettingsError when it knows none.
        """
        self._signer, self._path = signer, memory
        self._lock = threading.Lock()
        self._logs = dict((read_trusted(memory, WitnessMemory) or WitnessMemory()).logs)
        for key in logs:
            known = self._logs.get(key.name)
            if known is None:
                self._logs[key.name] = SeenLog(0, "", (key.vkey,))
            elif key.vkey not in (*known.keys, *known.retired):
                # Such as the one that a log signs with since its key was lost.
                self._logs[key.name] = msgspec.structs.replace(known, keys=(*known.keys, key.vkey))
        if not self._logs:
            raise SettingsError(
                "this witness knows no log yet, and would cosign nothing: give --log, a log's public key"
            )

    def add_checkpoint(self, body: bytes) -> WitnessAnswer:
        """Cosign a checkpoint, or say why not."""
        try:
            old, proof, note = _request(body)
            with self._lock:
                return self._cosigned(old, proof, note)
        except _RefusedError as refused:
            return refused.answer

    def add_statement(self, body: bytes) -> WitnessAnswer:
        """Learn the key of a log that follows the one known, from a statement that the known one has signed."""
        try:
            change = checked_statement(body.decode(errors="replace"))
        except CorruptLogError as error:
            return WitnessAnswer(HTTPStatus.BAD_REQUEST, f"{error}\n")
        with self._lock:
            known = self._logs.get(change.old.name)
            if known is None or change.old.vkey not in known.keys or not change.by_old:
                return WitnessAnswer(HTTPStatus.FORBIDDEN, "no key that is known here has signed this statement\n")
            if change.statement.reason == "lost":
                return WitnessAnswer(HTTPStatus.FORBIDDEN, "a lost key names no other: give --log the new one\n")
            self._learn(known, change)
        return WitnessAnswer(HTTPStatus.OK, "")

    def _learn(self, known: SeenLog, change: KeyChange) -> None:
        if change.old.name == change.new.name:
            keys = tuple(key for key in known.keys if key != change.old.vkey)
            retired = (*known.retired, change.old.vkey)
            seen = msgspec.structs.replace(known, keys=(*keys, change.new.vkey), retired=retired)
            self._remember(change.new.name, seen)
            return
        # After a restore: another log, as far as consistency goes.
        if change.new.name not in self._logs and _is_part(change.old.name, change.new.name):
            self._remember(change.new.name, SeenLog(0, "", (change.new.vkey,)))

    def _cosigned(self, old: int, proof: list[bytes], note: str) -> WitnessAnswer:
        checkpoint, text = self._verified(note)
        known = self._logs[checkpoint.origin]
        if old > checkpoint.size:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "the old size is larger than the checkpoint's")
        if old != known.size:
            raise _RefusedError(HTTPStatus.CONFLICT, str(known.size), SIZE_TYPE)
        _require_consistency(known, checkpoint, proof)
        # Atomically and on disk before it is said: a witness that forgets would cosign another history.
        seen = msgspec.structs.replace(known, size=checkpoint.size, root=checkpoint.root.hex())
        self._remember(checkpoint.origin, seen)
        key = self._signer.verifier
        return WitnessAnswer(HTTPStatus.OK, cosign(text, self._signer, key.name, key.public, int(time.time())))

    def _verified(self, note: str) -> tuple[Checkpoint, str]:
        try:
            text, _ = note_lines(note)
            origin = parse_checkpoint(text).origin
        except CorruptLogError as error:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from None
        if origin not in self._logs:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "this log is not known here")
        try:
            return read_checkpoint(note, [Verifier.parse(key) for key in self._logs[origin].keys]), text
        except CorruptLogError as error:
            raise _RefusedError(HTTPStatus.FORBIDDEN, str(error)) from None

    def _remember(self, origin: str, seen: SeenLog) -> None:
        logs = {**self._logs, origin: seen}
        write_struct(self._path, WitnessMemory(logs))
        self._logs = logs


def _is_part(old: str, new: str) -> bool:
    """Return whether a name is of the same log's next part: a log cannot make a witness know others."""
    return new.startswith("/".join(old.split("/")[:3]) + "/")


def _require_consistency(known: SeenLog, checkpoint: Checkpoint, proof: list[bytes]) -> None:
    if known.size == checkpoint.size and known.size and known.root != checkpoint.root.hex():
        raise _RefusedError(HTTPStatus.CONFLICT, str(known.size), SIZE_TYPE)
    if known.size == 0:
        holds = not proof
    else:
        root = bytes.fromhex(known.root)
        holds = check_consistency(known.size, checkpoint.size, root, checkpoint.root, proof)
    if not holds:
        raise _RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, "the consistency proof does not hold")


def _request(body: bytes) -> tuple[int, list[bytes], str]:
    """Old size, proof and note of an add-checkpoint request."""
    head, blank, note = body.decode(errors="replace").partition("\n\n")
    first, *lines = head.split("\n")
    word, _, size = first.partition(" ")
    try:
        proof = [base64.b64decode(line, validate=True) for line in lines]
        old = int(size)
    except ValueError:
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "this is not an add-checkpoint request") from None
    sizes = all(len(one) == HASH_BYTES for one in proof) and len(proof) <= MAX_PROOF_LINES
    if not blank or word != "old" or str(old) != size or old < 0 or not sizes:
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "this is not an add-checkpoint request")
    return old, proof, note
