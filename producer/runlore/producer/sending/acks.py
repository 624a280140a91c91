"""Acknowledgements: what JetStream answers to a publish, from which stream, and what can go wrong on the way.

Another stream may take the same subject: one of another name where ours is missing, or one of our own name in another
JetStream domain, behind a leaf node. What such a stream acknowledges has not reached Runlore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_TOO_LARGE, _OTHER_LAST_ID = 10054, 10070
_NO_BATCHES, _NO_BATCH_HEADERS, _INCOMPLETE_BATCH = 10174, 10177, 10176
_BATCH_TOO_LARGE, _DUPLICATE_IN_BATCH = 10199, 10201
_TOO_MANY_BATCHES, _TOO_MANY_REQUESTS = 10210, 10167


class SendError(Exception):
    """Base of what can go wrong with one attempt; never leaves the relay."""

    worth_telling = False
    """Whether a person may have to act: the server is there, and something about it is not right."""


class NoAnswerError(SendError):
    """The connection is lost, or the server was silent: connect again and send the same again."""


class NoInboxError(NoAnswerError):
    """This user may not receive answers where they are asked for."""

    worth_telling = True


class NobodyError(SendError):
    """Nobody listens on the subject of a question."""


class NoStreamError(SendError):
    """There is no stream to take the events, which is usual for a moment while a server starts."""


class WrongStreamError(SendError):
    """The stream that takes the events, or answers for them, is not the one they are for."""

    worth_telling = True


class ForbiddenError(SendError):
    """The server does not let this user publish on a subject (in lower case, as nats-py reports it)."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"publishing on {subject} is not permitted")
        self.subject = subject


class RefusedError(SendError):
    """JetStream answered with an error."""

    worth_telling = True

    def __init__(self, code: int, description: str, stream: str) -> None:
        super().__init__(f"{description} (error {code})")
        self.permanent = code == _TOO_LARGE
        self.duplicate = code == _DUPLICATE_IN_BATCH
        self.busy = code in (_TOO_MANY_BATCHES, _TOO_MANY_REQUESTS, _INCOMPLETE_BATCH)
        """Too many batches are open, or too many messages wait. Only who asks for an answer is told: when a message
        without is refused, the last one hears that the batch is incomplete; the same when a batch was open for long."""
        self.no_batches = code in (_NO_BATCHES, _NO_BATCH_HEADERS)
        self.batch_too_large = code == _BATCH_TOO_LARGE
        self.not_stored = code == _OTHER_LAST_ID
        """The answer to a question for an event that the stream does not have."""
        self.stream = stream


class DeliveryError(Exception):
    """The rows could not be stored now; they wait in the outbox."""

    def __init__(self, cause: SendError) -> None:
        super().__init__(str(cause))
        self.worth_telling = cause.worth_telling
        self.no_stream = isinstance(cause, NoStreamError)
        """Usual for a moment while a server starts, worth telling when it lasts."""
        self.refused = isinstance(cause, RefusedError)
        """The connection is fine, and the events of others may be."""


class NotOursError(Exception):
    """This user may not send the events of another project; whoever may can find them in their outbox."""

    def __init__(self, project: str) -> None:
        super().__init__(f"this user may not send events of the project {project}")


class Ack(msgspec.Struct, frozen=True):
    """What JetStream answers."""

    stream: str = ""
    seq: int = 0
    domain: str | None = None
    duplicate: bool = False
    count: int = 1
    error: _Error | None = None

    @property
    def source(self) -> str:
        """The stream that gave it, to a person."""
        return f"{self.stream} in JetStream domain {self.domain}" if self.domain else self.stream


class _Error(msgspec.Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


_decode_ack = msgspec.json.Decoder(Ack).decode


def read_ack(message: Msg, stream: str) -> Ack:
    """The acknowledgement in an answer, whoever gave it; `stream` should have.

    Raises NoStreamError, NoAnswerError or RefusedError.
    """
    if nobody_listens(message):
        raise NoStreamError(
            f"no stream takes the events: {stream} does not exist yet or has no leader, or this NATS account does "
            "not import the subjects of the project"
        )
    try:
        ack = _decode_ack(message.data)
    except msgspec.MsgspecError as error:
        raise NoAnswerError(f"not an acknowledgement: {message.data[:200]!r}") from error
    if ack.error is not None:
        raise RefusedError(ack.error.err_code, ack.error.description, ack.stream)
    if not ack.seq:
        raise NoAnswerError(f"an acknowledgement without a position: {message.data[:200]!r}")
    return ack


def nobody_listens(message: Msg) -> bool:
    """Whether this is the server's own answer in place of one."""
    return (message.headers or {}).get("Status") == "503"
