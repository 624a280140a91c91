"""Has the projector's checkpoints cosigned by the witnesses of its policy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.key_history import read_changes
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.audit.witness_client import (
    WitnessAheadError,
    WitnessClient,
    WitnessContradictsError,
    is_stranger,
)
from runlore.projector.audit.witness_policy import read_policy
from runlore.projector.logs import get_log
from runlore.projector.state import ServiceState
from runlore.schemas.errors import CorruptLogError, RunloreError
from runlore.store.audit.checkpoint import Checkpoint, read_unchecked
from runlore.store.audit.merkle import consistency_proof
from runlore.store.audit.tree import StoredNodes

ATTEMPTS = 3
"""Questions to one witness about one checkpoint: its size, the proof, and one more."""
RETRY_LOOKS = 10
"""Looks (about a second each) after a failure until it is asked again."""


class Witnessing:
    """Asks each witness for each newest checkpoint. In the event loop's thread; the waiting is in others."""

    def __init__(self, policy: Path | None, archive: Archive, writer: CheckpointWriter, state: ServiceState) -> None:
        """Raises SettingsError when the policy makes no sense."""
        self._archive, self._writer, self._state = archive, writer, state
        found = read_policy(policy).witnesses.values() if policy is not None else ()
        self._clients = [WitnessClient(one) for one in found if one.url is not None]
        self._done: dict[str, int] = {}
        """The newest size that each has cosigned."""
        self._waits: dict[str, int] = {}

    async def look(self) -> None:
        """Have the newest checkpoint cosigned by whoever has not done it. Never raises for a witness."""
        note = self._archive.newest_note()
        if note is not None and self._clients:
            checkpoint = read_unchecked(note)[0]
            await asyncio.gather(*(self._ask(client, checkpoint, note) for client in self._clients))

    async def _ask(self, client: WitnessClient, checkpoint: Checkpoint, note: str) -> None:
        name = client.witness.name
        self._waits[name] = self._waits.get(name, 0) - 1
        if self._done.get(name) == checkpoint.size or self._waits[name] > 0:
            return
        problem = f"witness ({name})"
        try:
            lines = await self._cosigned(client, checkpoint, note)
        except WitnessAheadError as error:
            self._writer.ahead(checkpoint._replace(size=error.size), f"the witness {name}")
            self._failed(name, problem, error)
            self._waits[name] = 0  # nothing was asked: this log must grow first
        except WitnessContradictsError as error:
            self._writer.refused(checkpoint, f"the witness {name}")
            self._failed(name, problem, error)
        except (OSError, RunloreError) as error:
            self._failed(name, problem, error)
        else:
            self._done[name] = checkpoint.size
            for line in lines:
                self._archive.add_cosignature(checkpoint.size, client.witness.key.label, line)
            self._state.problems.pop(problem, None)

    async def _cosigned(self, client: WitnessClient, checkpoint: Checkpoint, note: str) -> list[str]:
        proofs: dict[int, Sequence[bytes]] = {0: []}
        introduced = False
        for _ in range(ATTEMPTS + 1):
            try:
                found = await asyncio.to_thread(client.cosign, note, checkpoint.size, proofs)
            except OSError as error:
                if introduced or not is_stranger(error):
                    raise
                introduced = True
                statements = [change.note for change in read_changes(self._archive.connection)]
                await asyncio.to_thread(client.introduce, statements)
                continue
            if not isinstance(found, int):
                if not found:
                    raise CorruptLogError("it answered without a cosignature of the key in the policy")
                return found
            proofs[found] = self._proof(found, checkpoint.size)
        raise OSError("it asks for another old size each time")

    def _proof(self, old: int, size: int) -> list[bytes]:
        return consistency_proof(old, size, StoredNodes(self._archive.connection)) if 0 < old < size else []

    def _failed(self, name: str, problem: str, error: Exception) -> None:
        self._waits[name] = RETRY_LOOKS
        if problem not in self._state.problems:
            get_log().warning("a witness does not cosign", witness=name, reason=str(error))
        self._state.problems[problem] = f"{name} does not cosign: {error}"
