"""The layout of a data folder.

<data>/server.json                 address of the embedded server and secret of its producers (mode 0600)
<data>/folder.json                 where this folder was when it was used last: a copy finds the original there
<data>/up.lock                     held by `runlore up`
<data>/checkpoint.key              signs the log's checkpoints (mode 0600); checkpoint.pub: its public part
<data>/checkpoint.key.next         the key after it, until the log says so; checkpoint.key.retired-…: those before
<data>/checkpoint.key.lock         held by a command that changes the key
<data>/checkpoint.statement        what the projector still has to write into the log about the key
<data>/actor.statement             the same about an actor's key; also erasure.statement and retention.statement
<data>/dashboard.json              address of the page that `runlore up` runs
<data>/dashboard.token             opens the page (mode 0600); page-tokens.json: hashes of tokens for projects
<data>/page-sessions.json          sessions of the page that were ended before their time
<data>/nats/                       the embedded server's files
<data>/nats/service.json           secret of the projector and of commands (mode 0600)
<data>/outbox/<producer>.outbox/   events not yet on the stream, one folder a producer (docs/outbox.md); beside it .lock
<data>/outbox/damaged/             outboxes that were damaged, as they were found
<data>/reserve                     disk space that is given up when the disk is full, so that outboxes can be emptied
<data>/open/<process>              the runs and steps that a process has open, for its workers
<data>/projection/log.db           the archive: append-only copy of the stream
<data>/projection/view-000001.db   a read model; CURRENT names the live one
<data>/projection/projector.lock   held by the projector
<data>/projection/fold.lock        held by its fold process
<data>/projection/view.lock        held while the live view is written or switched
<data>/projection/rebuild.lock     held by a rebuild
<data>/projection/status.json      the projector's last status
<data>/projection/stream.json      which stream log.db is a copy of, and on which server
<data>/projection/restored.json    that log.db is a backup, and up to where (`runlore operator restore`)
<data>/projection/verified.json    the last result of `runlore audit verify`
<data>/projection/snapshot.json    the last snapshot for replicas that was made here; snapshot/ while one is made
<data>/projection/backups.json     the backups that `runlore operator backup` made of this folder
<data>/projection/replica.json     that this folder is a replica, which has no log.db (`runlore replica`)
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from runlore.schemas.errors import CorruptLogError, NotFoundError
from runlore.store.access import using

_VIEW_NAME = re.compile(r"view-[0-9]{1,18}\.db")
_PARTS = frozenset(
    (
        *(
            "server.json",
            "folder.json",
            "up.lock",
            "checkpoint.key",
            "checkpoint.key.next",
            "checkpoint.key.lock",
            "checkpoint.pub",
            "checkpoint.statement",
            "erasure.statement",
            "retention.statement",
            "actor.statement",
            "nats",
            "outbox",
            "reserve",
            "open",
            "projection",
            "restore",
        ),
        *("dashboard.json", "dashboard.token", "page-tokens.json", "page-tokens.lock", "page-sessions.json"),
        "projector.log",
    )
)
_PREFIXES = (
    *(f".{name}." for name in _PARTS),
    "stream.before-restore-",
    "projection.",
    "checkpoint.key.before-restore-",
    "checkpoint.key.retired-",
)
"""Of files that are being written, and of backups."""
_NAME_BYTES = 100
"""CURRENT is read no further: a name is far shorter, and whatever else lies there is quoted in an error."""


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
    def next_key(self) -> Path:
        return self.root / "checkpoint.key.next"

    @property
    def key_lock(self) -> Path:
        return self.root / "checkpoint.key.lock"

    @property
    def public_key(self) -> Path:
        return self.root / "checkpoint.pub"

    @property
    def key_statement(self) -> Path:
        return self.root / "checkpoint.statement"

    @property
    def erasure(self) -> Path:
        """An erasure that is not in the log yet."""
        return self.root / "erasure.statement"

    @property
    def retention(self) -> Path:
        """A statement about retention that is not in the log yet."""
        return self.root / "retention.statement"

    @property
    def actor_key(self) -> Path:
        """A statement about an actor's key that is not in the log yet."""
        return self.root / "actor.statement"

    @property
    def home(self) -> Path:
        return self.root / "folder.json"

    @property
    def up_lock(self) -> Path:
        return self.root / "up.lock"

    @property
    def dashboard(self) -> Path:
        return self.root / "dashboard.json"

    @property
    def secrets(self) -> tuple[Path, ...]:
        """Passwords, keys and tokens: never shared."""
        return self.endpoint, self.service, self.checkpoint_key, self.next_key, self.dashboard_token, self.page_tokens

    @property
    def dashboard_token(self) -> Path:
        return self.root / "dashboard.token"

    @property
    def page_tokens(self) -> Path:
        return self.root / "page-tokens.json"

    @property
    def page_sessions(self) -> Path:
        return self.root / "page-sessions.json"

    @property
    def nats(self) -> Path:
        return self.root / "nats"

    @property
    def service(self) -> Path:
        return self.nats / "service.json"

    @property
    def outboxes(self) -> Path:
        return self.root / "outbox"

    @property
    def open_places(self) -> Path:
        return self.root / "open"

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
    def archived_stream(self) -> Path:
        return self.projection / "stream.json"

    @property
    def restored(self) -> Path:
        return self.projection / "restored.json"

    @property
    def verified(self) -> Path:
        return self.projection / "verified.json"

    @property
    def last_snapshot(self) -> Path:
        return self.projection / "snapshot.json"

    @property
    def backups(self) -> Path:
        return self.projection / "backups.json"

    @property
    def replica(self) -> Path:
        return self.projection / "replica.json"

    def is_part(self, name: str) -> bool:
        """Return whether a name in the folder is one of ours."""
        return name in _PARTS or name.startswith(_PREFIXES)

    def view(self, generation: int) -> Path:
        return self.projection / f"view-{generation:06d}.db"

    def current_view(self) -> Path:
        """The live view. Raises NotFoundError when none was made yet, CorruptLogError when CURRENT names none."""
        try:
            with using(self.current):
                name = self.current.read_bytes()[:_NAME_BYTES].decode(errors="replace").strip()
        except FileNotFoundError:
            raise NotFoundError(
                f"nothing to read in {self.projection} yet: start `runlore up` or `runlore projector` on this folder"
            ) from None
        if not _VIEW_NAME.fullmatch(name):
            raise CorruptLogError(f"{self.current} names {name!r}, which is not a view")
        return self.projection / name
