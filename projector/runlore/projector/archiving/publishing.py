"""What leaves the log's machine about its signatures: checkpoints, and statements about keys.

Both go out beside the archive: a server or a target that is away delays them, and never the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from nats.aio.client import Client as NatsConnection

from runlore.projector.archiving.actor_notes import waiting_actor_key
from runlore.projector.archiving.archive import Archive
from runlore.projector.archiving.erasing import Erasing
from runlore.projector.archiving.timestamping import Timestamping
from runlore.projector.archiving.waiting_note import WaitingNote
from runlore.projector.archiving.witnessing import Witnessing
from runlore.projector.audit.keys import Verifier
from runlore.projector.audit.signers import KeySource, key_source
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.audit.statements import PendingStatement
from runlore.projector.audit.targets import pull, push
from runlore.projector.logs import get_log
from runlore.projector.state import ServiceState
from runlore.schemas.errors import RunloreError, ServerUnavailableError
from runlore.schemas.settings import Settings
from runlore.store.audit.erasure import parse_erasure
from runlore.store.audit.retention import parse_retention
from runlore.store.audit.statement import next_statement_id
from runlore.store.audit.stored_notes import newest_note
from runlore.store.folder import DataDir
from runlore.store.private_files import write_private
from runlore.wire.checkpoints import ensure_checkpoint_stream, last_checkpoint, publish_checkpoint, send_statement

RETRY_LOOKS = 30
"""Looks (about a second each) after a failure until the next attempt."""


class Publishing:
    """Signs for one log, and tells the others. In the event loop's thread, where the archive lives too."""

    def __init__(self, settings: Settings, state: ServiceState, archive: Archive) -> None:
        """Raises SettingsError, CorruptLogError as CheckpointWriter does."""
        self._settings, self._data, self._state = settings, DataDir(settings.data_dir), state
        self._archive = archive
        self._source: KeySource = key_source(settings)
        self._pending = PendingStatement(self._data, self._source, archive.epoch)
        self.writer = CheckpointWriter(archive, self._source, self._unsettled())
        policy = settings.witness_policy
        self._witnesses = Witnessing(Path(policy) if policy else None, archive, self.writer, state)
        self._stamps = Timestamping(settings.timestamp_url, archive, state)
        self._told: dict[str, str] = {}
        """The last note that each place has."""
        self._waits: dict[str, int] = {}
        self._public: Verifier | None = None
        self._made, self._replicas = False, 1
        """The stream of checkpoints."""
        self._reported: str | None = None
        self._sent: str | None = None
        self._erasing = Erasing(archive)
        self._notes = (
            WaitingNote(self._data.erasure, "erasure", parse_erasure),
            WaitingNote(self._data.retention, "retention", parse_retention),
        )
        self.waiting = False
        """A command waits for a statement to be in the log: look again soon."""
        self._keep_public()

    async def begin(self, connection: NatsConnection, replicas: int, last: int) -> None:
        """Look where this log's checkpoints were published before anything is signed. `last`: of the stream."""
        self.writer.catch_up(last)
        if (note := await self._on_stream(connection, replicas)) is not None:
            self._hear(note, "the stream of checkpoints")
        for target in self._settings.checkpoint_targets:
            if (note := await asyncio.to_thread(pull, target)) is not None:
                self._hear(note, target)
        await self._witnesses.look()  # about what was signed before: one of them may know more
        self._say()

    def sign(self, due: bool = True) -> None:
        """Sign if it is time, or at once."""
        if self.writer.sign_if_due() if due else self.writer.sign():
            self._keep_public()
        self._say()

    async def look(self, connection: NatsConnection, last: bool = False) -> None:
        """Send what is new. Never raises for a place that is away. `last`: the projector stops after it."""
        await self._state_keys(connection)
        self._erase()
        await self._state_others(connection)
        await self._state_actor(connection)
        await self._witnesses.look()
        self._say()
        stored = newest_note(self._archive.connection)
        if stored is None:
            return
        note = stored.note
        await self._tell("stream", note, partial(self._publish, connection, note))
        for target in self._settings.checkpoint_targets:
            await self._tell(target, note, partial(_push, target, note))
        await self._stamps.look(last)

    async def _state_keys(self, connection: NatsConnection) -> None:
        if self._pending.settle(self._archive.connection) or self._unsettled() != self.writer.restored:
            self.writer.changed(self._unsettled())
            self._keep_public()
            self._say()
        note = self._pending.note(self._archive.connection)
        if note is None or note == self._sent:
            return
        message_id = next_statement_id(self._archive.connection)

        async def send() -> None:
            await send_statement(connection, note, message_id)
            self._sent = note

        await self._tell("statement", note, send)

    def _erase(self) -> None:
        """Execute the erasures that are in the log."""
        if (own := self.writer.public_key()) is not None and self._erasing.execute(own):
            self.sign(due=False)  # the events are proved together with their erasure: it must be signed, too

    async def _state_others(self, connection: NatsConnection) -> None:
        """Send a statement that waits in the data folder."""
        self.waiting = False
        for one in self._notes:
            if (note := one.read(self._archive.connection)) is not None:
                self.waiting = True
                message_id = next_statement_id(self._archive.connection, one.series)
                await self._tell(one.series, note, partial(send_statement, connection, note, message_id))

    async def _state_actor(self, connection: NatsConnection) -> None:
        """Send a statement about an actor's key that waits in the data folder."""
        if (waiting := waiting_actor_key(self._data, self._archive.connection)) is not None:
            note, message_id = waiting
            await self._tell("actor", note, partial(send_statement, connection, note, message_id))

    async def _publish(self, connection: NatsConnection, note: str) -> None:
        if not self._made:
            await ensure_checkpoint_stream(connection, self._replicas)
            self._made = True
        await publish_checkpoint(connection, self._archive.epoch, note)

    async def _on_stream(self, connection: NatsConnection, replicas: int) -> str | None:
        self._replicas = replicas
        try:
            await ensure_checkpoint_stream(connection, replicas)
            self._made = True
            return await last_checkpoint(connection, self._archive.epoch)
        except ServerUnavailableError as error:
            get_log().warning("checkpoints are not published on the stream", reason=str(error))
            self._waits["stream"] = RETRY_LOOKS
            return None

    def _hear(self, note: str, source: str) -> None:
        if self.writer.hear(note, source):
            return
        why = (
            f"{source} has a checkpoint that no key of this folder has signed: the key that signed this log is not "
            f"here, or somebody else writes there. If the key is lost, tell auditors; {self._source} signs from here on"
        )
        get_log().error("a checkpoint of another key was published", source=source)
        self._state.problems["key"] = why

    async def _tell(self, place: str, note: str, send: Callable[[], Awaitable[None]]) -> None:
        """Send a note to a place that does not have it; after a failure, only now and then."""
        self._waits[place] = self._waits.get(place, 0) - 1
        if self._told.get(place) == note or self._waits[place] > 0:
            return
        problem = f"checkpoints ({place})"
        try:
            await send()
        except (RunloreError, OSError) as error:
            self._waits[place] = RETRY_LOOKS
            if problem not in self._state.problems:
                get_log().warning("a checkpoint could not be sent", to=place, reason=str(error))
            self._state.problems[problem] = f"{place} does not take it: {error}"
        else:
            self._told[place] = note
            self._state.problems.pop(problem, None)

    def _unsettled(self) -> bool:
        return self._pending.unsettled(self._archive.connection)

    def _keep_public(self) -> None:
        """Keep the public part beside the key: whoever loses the key still needs to name it."""
        key = self.writer.public_key() if self.writer.held is None else None
        if key is not None and key != self._public:
            self._public = key
            write_private(self._data.public_key, f"{key.vkey}\n".encode(), shared=True)

    def _say(self) -> None:
        """Put into health why nothing is signed, and into the log once."""
        held = self.writer.held
        if held is None:
            self._state.problems.pop("signing", None)
        else:
            self._state.problems["signing"] = held
            if held != self._reported:
                get_log().error("checkpoints are not signed", reason=held)
        self._reported = held


async def _push(target: str, note: str) -> None:
    await asyncio.to_thread(push, target, note)
