"""Where things lie in a data folder.

<data>/server.json                 address and secret of the embedded server (mode 0600)
<data>/up.lock                     held by `runlore up`
<data>/checkpoint.key              signs the log's checkpoints (mode 0600)
<data>/dashboard.json              address of the page that `runlore up` runs
<data>/nats/                       the embedded server's files
<data>/outbox/<producer>.db        events not yet on the stream, one file a producer; beside it .lock
<data>/outbox/damaged/             outboxes that were damaged, as they were found
<data>/reserve                     disk space that is given up when the disk is full, so that outboxes can be emptied
<data>/projection/log.db           the archive: append-only copy of the stream
<data>/projection/view-000001.db   a read model; CURRENT names the live one
<data>/projection/projector.lock   held by the projector
<data>/projection/fold.lock        held by its fold process
<data>/projection/status.json      what the projector last said of itself
<data>/projection/verified.json    what `runlore audit verify` last found
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import stat
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from runlore.schemas.errors import CorruptLogError, FolderBusyError, NotFoundError

VIEW_SCHEMA = 2
"""Version of the view's tables; the query library reads no other."""


class DataDir(msgspec.Struct, frozen=True):
    """The paths of one data folder. Creates nothing."""

    root: Path

    @property
    def endpoint(self) -> Path:
        return self.root / "server.json"

    @property
    def checkpoint_key(self) -> Path:
        return self.root / "checkpoint.key"

    @property
    def up_lock(self) -> Path:
        return self.root / "up.lock"

    @property
    def dashboard(self) -> Path:
        return self.root / "dashboard.json"

    @property
    def nats(self) -> Path:
        return self.root / "nats"

    @property
    def outboxes(self) -> Path:
        return self.root / "outbox"

    @property
    def projection(self) -> Path:
        return self.root / "projection"

    @property
    def log(self) -> Path:
        return self.projection / "log.db"

    @property
    def current(self) -> Path:
        return self.projection / "CURRENT"

    @property
    def projector_lock(self) -> Path:
        return self.projection / "projector.lock"

    @property
    def status(self) -> Path:
        return self.projection / "status.json"

    @property
    def verified(self) -> Path:
        return self.projection / "verified.json"

    def view(self, generation: int) -> Path:
        return self.projection / f"view-{generation:06d}.db"

    def current_view(self) -> Path:
        """The live view. Raises NotFoundError when none was made yet."""
        try:
            name = self.current.read_text().strip()
        except FileNotFoundError:
            raise NotFoundError(
                f"no view in {self.projection}: start `runlore up` or `runlore projector` on this folder"
            ) from None
        if not name.startswith("view-") or "/" in name:
            raise CorruptLogError(f"{self.current} names {name!r}, which is no view")
        return self.projection / name


class Endpoint(msgspec.Struct, frozen=True):
    """How to reach the embedded server; the content of server.json."""

    url: str
    user: str
    password: str
    pid: int


class DashboardStatus(msgspec.Struct, frozen=True):
    """Where the page is; the content of dashboard.json."""

    pid: int
    http: str


class ProjectorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the projector last said of itself; the content of status.json. Times are Unix seconds."""

    pid: int
    http: str
    """Base address of the health endpoints."""
    connected: bool
    stream_last: int
    """Last sequence of the stream when last asked."""
    archived: int
    folded: int
    quarantined: int
    updated: float
    stopped: str | None = None
    """Why it stopped, if it did."""


class LastVerify(msgspec.Struct, frozen=True, kw_only=True):
    """What `runlore audit verify` last found; the content of verified.json. Not evidence: a file like any other."""

    at: float
    """When it ended, Unix seconds."""
    position: int
    """Everything up to here was verified."""
    leaves: int
    root: str
    """Of the tree recomputed from raw bytes, hexadecimal."""
    checkpoints: int
    """Signed checkpoints that hold."""
    outside: int
    """How many of them were kept outside the data folder."""
    own_key: bool
    """Whether signatures were checked with the data folder's own key, for want of another."""
    messages: int | None
    """Messages compared with JetStream; None when it was not asked."""
    view: bool
    """Whether the view was compared with a replay."""
    not_compared: dict[str, str]
    """What was not compared (stream, view), and why."""
    problems: list[str]
    """What is wrong, empty when all is well."""

    @property
    def ended(self) -> dt.datetime:
        """When it ended, UTC."""
        return dt.datetime.fromtimestamp(self.at, dt.UTC)


AnyStruct = TypeVar("AnyStruct", bound=msgspec.Struct)


def write_struct(path: Path, value: msgspec.Struct) -> None:
    """Replace a small JSON file whole and durably, readable by its owner only."""
    write_private(path, msgspec.json.format(msgspec.json.encode(value)) + b"\n")


def write_private(path: Path, data: bytes) -> None:
    """Replace a small file whole: write beside it, fsync, rename, fsync the folder."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    try:
        beside.replace(path)
    except OSError:
        beside.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_struct(path: Path, kind: type[AnyStruct]) -> AnyStruct | None:
    """The content of a small JSON file; None when it is absent or not readable as `kind`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


class FolderLock:
    """An advisory lock on a file that names its holder; released when the process ends."""

    def __init__(self, path: Path, purpose: str) -> None:
        self._path = path
        self._purpose = purpose
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        with contextlib.suppress(OSError):  # no room on the disk: it is held all the same
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{self._purpose}, process {os.getpid()}".encode())
        return True

    def acquire(self) -> None:
        """Take the lock, or raise FolderBusyError naming the holder."""
        if not self.try_acquire():
            raise FolderBusyError(f"{self._path.parent} is in use by {self.holder()} (lock {self._path.name})")

    def holder(self) -> str:
        """What the holder wrote: purpose and process."""
        try:
            return self._path.read_text() or "another process"
        except OSError:
            return "another process"

    def release(self) -> None:
        """Let go; harmless when not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> FolderLock:
        self.acquire()
        return self

    def __exit__(self, *_: Any) -> None:
        self.release()
