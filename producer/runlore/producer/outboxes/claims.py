"""Claims: which outboxes' events belong on the stream behind a connection, asked of each before its first row is sent.

An outbox whose stream is known goes to that stream, whatever address it is behind now; one whose stream is not known
goes to the server that it was made for. What belongs elsewhere is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from runlore.producer.outboxes.ledger import Acknowledged, Destination
from runlore.producer.sending.acks import WrongStreamError
from runlore.producer.sending.source import Source
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import ArchivedStream, ProjectorStatus
from runlore.wire.destinations import same_server, server_key

if TYPE_CHECKING:
    from runlore.producer.sending.known_stream import KnownStream

_RESTORE = "`runlore stream restore` writes what log.db has back into the stream"
_BEGIN = f"{_RESTORE}; to begin a new history without it, move the projection folder away"
_TAKE_OVER = f"{_RESTORE}; `runlore outbox drain --take-over` sends these events to the stream as it is now"


class Expected(NamedTuple):
    """What the data folder says of the stream it archives."""

    stream: ArchivedStream | None
    archived: int
    """Its projector had archived up to here, a second ago or more."""

    @classmethod
    def read(cls, data: DataDir) -> Expected:
        """Read it before asking the server: what arrives in between must not look like a loss."""
        status = read_struct(data.status, ProjectorStatus)
        return cls(read_struct(data.archived_stream, ArchivedStream), status.archived if status else 0)


class Claims:
    """The claims of one connection. `stream`: None when the server does not tell."""

    def __init__(
        self,
        settings: Settings,
        stream: KnownStream | None,
        expected: Expected,
        any_project: bool,
        shard: Shard,
        shards: Mapping[str, int],
    ) -> None:
        """`shard`: where this connection sends. `shards`: of the projects that are known so far, the own one's too."""
        self.stream, self.shard, self._shards = stream, shard, shards
        self.unknown, self.elsewhere = set[str](), set[int]()
        """Other projects, with events to send, whose shard must be asked for first; other shards that some are for."""
        self._settings = settings
        self._server = server_key(settings)
        self._any_project = any_project
        self._require_expected(expected)

    def _require_expected(self, expected: Expected) -> None:
        """Raises WrongStreamError when this folder archives another stream of this server."""
        archive, stream = expected.stream, self.stream
        if archive is None or stream is None or archive.shard != self.shard.number:
            return
        if not same_server(archive.server, self._server):
            return
        if not stream.continues(archive.epoch):
            raise WrongStreamError(
                f"the stream {self.shard.stream} was recreated: its epoch is {stream.epoch}, log.db has "
                f"{archive.epoch}. {_BEGIN}"
            )
        if archive.epoch == stream.epoch and stream.last_seq is not None and stream.last_seq < expected.archived:
            raise WrongStreamError(
                f"the stream {self.shard.stream} lost its tail: it ends at position {stream.last_seq}, log.db at "
                f"{expected.archived} or later. {_BEGIN}"
            )

    def require(self, destination: Destination) -> None:
        """Raises WrongStreamError when an outbox is for another stream than this one."""
        if self.stream is not None and destination.epoch is not None and not self.stream.continues(destination.epoch):
            raise WrongStreamError(
                f"the stream {self.shard.stream} was recreated: its epoch is {self.stream.epoch}, the waiting events "
                f"are for {destination.epoch}. {_TAKE_OVER}"
            )

    def accepts(self, destination: Destination) -> bool:
        """Whether an outbox that others left behind may be sent here."""
        if not self._any_project and destination.project not in (None, self._settings.project):
            return False
        if destination.epoch is not None and self.stream is not None:
            return self.stream.continues(destination.epoch)
        return same_server(destination.server, self._server)

    def in_shard(self, source: Source) -> bool:
        """Whether the project of an outbox is in the shard that this connection sends to; False while unknown."""
        project, shard = source.destination.project, source.shard
        if shard is None and project is not None and project not in (self._settings.project, *self._shards):
            self.unknown.add(project)
            return False
        shard = shard or Shard(self._shards[project or self._settings.project])
        if shard != self.shard:
            self.elsewhere.add(shard.number)
        return shard == self.shard

    def replaced(self, destination: Destination) -> bool:
        """Whether an outbox was made for this server and its stream is no longer there."""
        return same_server(destination.server, self._server) and not self.accepts(destination._replace(project=None))

    def claim(self, source: Source) -> None:
        """Make a source ready to be sent here: its stream is known from now on."""
        before, stream = source.destination, self.stream
        source.shard = self.shard
        if self.shard.number and source.outbox.ledger.shard is None:  # first: a known epoch without it means shard 0
            source.outbox.ledger.set_shard(self.shard.number)
        epoch = stream.epoch if stream is not None else before.epoch
        now = Destination(before.server or self._server, before.project, epoch)
        if now != before:
            source.outbox.ledger.set_destination(now)
            source.destination = now
        source.keeps = self._keeps(epoch)
        if stream is not None and before.epoch not in (None, stream.epoch) and source.kept:
            source.lost = source.kept[0]  # these are positions of a stream that this one goes on from

    def beyond(self, source: Source) -> Acknowledged | None:
        """The first of its kept rows that lies behind the end of the stream, as that was when this connection asked."""
        end = self.stream.last_seq if self.stream is not None else None
        return next((one for one in source.kept if end is not None and one.positions.last > end), None)

    def find_lost(self, source: Source) -> None:
        """Right after asking for the stream: what is kept behind its end is lost, and sent again."""
        source.lost = source.lost or self.beyond(source)

    def _keeps(self, epoch: str | None) -> bool:
        """Whether acknowledged rows stay until they are archived: by itself where one disk holds the stream."""
        confirm = self._settings.confirm
        if confirm == "never" or not self._settings.keep_bytes or epoch is None:
            return False
        return confirm == "always" or self.stream is None or self.stream.replicas == 1
