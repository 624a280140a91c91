"""Asking witnesses to cosign checkpoints (C2SP tlog-witness)."""

from __future__ import annotations

import base64
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from http import HTTPStatus

from runlore.projector.audit.cosignatures import cosignatures
from runlore.projector.audit.witness_policy import PolicyWitness
from runlore.schemas.errors import RunloreError

ASK_SECONDS = 5.0
_SIZE = re.compile("[0-9]{1,18}")
"""int() takes other digits, too, and refuses very many."""
_MOST_BYTES = 64 * 1024
_CONTRADICTED = frozenset({HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY})
_STRANGER = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


class WitnessAheadError(RunloreError):
    """The witness has cosigned a larger tree than there is."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"it has cosigned {size:,} leaves")


class WitnessContradictsError(RunloreError):
    """The witness has cosigned another history of this log."""


Prove = Callable[[int], Sequence[bytes]]
"""The consistency proof from a size to that of the checkpoint."""


class WitnessClient:
    """One witness, and the size that it cosigned last as far as we know. Blocks: call it in a thread."""

    def __init__(self, witness: PolicyWitness) -> None:
        assert witness.url is not None
        self.witness, self._url, self._size = witness, witness.url, 0
        self._origin = ""

    def cosign(self, note: str, size: int, proof_from: dict[int, Sequence[bytes]]) -> list[str] | int:
        """The cosignature lines for a note; or the old size that the witness wants a proof from.

        `proof_from`: consistency proofs at hand, by old size. Raises WitnessAheadError, WitnessContradictsError,
        OSError when it is away or refuses.
        """
        if not note.startswith(f"{self._origin}\n"):  # another part of the log, after a restore
            self._origin, self._size = note.partition("\n")[0], 0
        old = self._size
        if old > size:
            raise WitnessAheadError(old)
        if old not in proof_from:
            return old
        status, body = self._post("add-checkpoint", _request(old, proof_from[old], note))
        if status == HTTPStatus.CONFLICT and _SIZE.fullmatch(body.strip()) and int(body) != old:
            self._size = int(body)
            if self._size > size:
                raise WitnessAheadError(self._size)
            return self._size
        if status in _CONTRADICTED:
            raise WitnessContradictsError(f"{status}: {body.strip()[:200]}")
        if status != HTTPStatus.OK:
            raise OSError(f"HTTP {status}: {body.strip()[:200]}")
        self._size = size
        text = note.rpartition("\n\n")[0] + "\n\n"
        return [line for line, _ in cosignatures(text + body, self.witness.key)]

    def introduce(self, statements: Sequence[str]) -> None:
        """Hand in the statements about the log's keys: the witness may know an older key. Raises OSError."""
        for note in statements:
            self._post("add-statement", note)

    def _post(self, call: str, body: str) -> tuple[int, str]:
        request = urllib.request.Request(f"{self._url}/{call}", body.encode(), {"Content-Type": "text/plain"})  # noqa: S310 -- http(s), as the policy requires
        try:
            with urllib.request.urlopen(request, timeout=ASK_SECONDS) as answer:  # noqa: S310 -- as above
                return answer.status, answer.read(_MOST_BYTES).decode(errors="replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(_MOST_BYTES).decode(errors="replace")
        except http.client.HTTPException as error:
            raise OSError(f"{type(error).__name__}: {error}") from error


def is_stranger(error: OSError) -> bool:
    """Return whether the witness does not know the key that signed."""
    return any(str(error).startswith(f"HTTP {int(status)}:") for status in _STRANGER)


def _request(old: int, proof: Sequence[bytes], note: str) -> str:
    lines = "".join(f"{base64.b64encode(one).decode()}\n" for one in proof)
    return f"old {old}\n{lines}\n{note}"
