"""Roles: who may publish and receive what on an operator's own NATS server, and not one subject more.

    project-<project>   account of a tenant: producers and readers of one project, imported from the account below
    RUNLORE             account with the stream: projector, query service, reader of the stream, operator

Nobody has STREAM.UPDATE, DELETE, PURGE, RESTORE, MSG.DELETE, SNAPSHOT, PEER.REMOVE or LEADER.STEPDOWN of the stream,
or another stream than the bucket with snapshots; `restorer` has some of them, for as long as a restore takes. Each user
has an inbox of its own: what the projector reads arrives there, and a user who may subscribe to `_INBOX.>` reads along.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from runlore.schemas.errors import SettingsError
from runlore.schemas.subjects import (
    ARCHIVE_SUBJECT,
    CHECKPOINT_STREAM,
    CHECKPOINT_SUBJECT,
    QUERY_SUBJECT,
    SIGNING_SUBJECT,
    SNAPSHOT_BUCKET,
    STREAM_NAME,
    SUBJECT_PREFIX,
    subject_token,
)

ACCOUNT = "RUNLORE"
"""Name of the account that has the stream."""

_API = "$JS.API"
_INFO = f"{_API}.STREAM.INFO.{STREAM_NAME}"
_READ = (
    _INFO,
    f"{_API}.STREAM.MSG.GET.{STREAM_NAME}",
    f"{_API}.CONSUMER.CREATE.{STREAM_NAME}.*",
    f"{_API}.CONSUMER.MSG.NEXT.{STREAM_NAME}.*",
)
_SIGNING = (
    SIGNING_SUBJECT,
    f"{CHECKPOINT_SUBJECT}.*",
    *(f"{_API}.STREAM.{request}.{CHECKPOINT_STREAM}" for request in ("CREATE", "MSG.GET")),
)
"""Checkpoints go to a small stream of their own, which the projector makes; changes of the key into the log."""
ARCHIVE_SUBJECTS = (ARCHIVE_SUBJECT, f"{ARCHIVE_SUBJECT}.*")
_ANSWER_QUERIES = (
    f"{QUERY_SUBJECT}.*.*",
    *(
        f"$SRV.{verb}{rest}"
        for verb in ("PING", "INFO", "STATS")
        for rest in ("", ".runlore-query", ".runlore-query.*")
    ),
)
"""What a micro service subscribes to: its questions, and those about itself."""
_FETCH = f"{_API}.DIRECT.GET.OBJ_{SNAPSHOT_BUCKET}"
_SNAPSHOTS = (
    *(f"{_API}.STREAM.{request}.OBJ_{SNAPSHOT_BUCKET}" for request in ("CREATE", "INFO", "PURGE")),
    _FETCH,
    f"$O.{SNAPSHOT_BUCKET}.>",
)
_RESTORE = (
    *(f"{_API}.STREAM.{request}.{STREAM_NAME}" for request in ("CREATE", "UPDATE", "DELETE", "SNAPSHOT", "RESTORE")),
    "$JS.SNAPSHOT.>",
)


class Role(NamedTuple):
    """A user, and the subjects it may publish on and subscribe to."""

    user: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...] = ()
    responds: bool = False
    """Whether it answers questions, large answers in parts."""

    @property
    def inbox(self) -> str:
        """RUNLORE_INBOX_PREFIX of this user."""
        return f"_INBOX_{self.user}"

    @property
    def password_variable(self) -> str:
        """Variable of the server's environment that holds its password."""
        return f"RUNLORE_{re.sub('[^A-Z0-9]', '_', self.user.upper())}_PASSWORD"

    @property
    def all_subscribe(self) -> tuple[str, ...]:
        return (f"{self.inbox}.>", *self.subscribe)


def project_subjects(project: str) -> str:
    """The subjects of a project's events."""
    return f"{SUBJECT_PREFIX}.{subject_token(project)}.>"


def query_subjects(project: str) -> str:
    """The subjects of questions about a project."""
    return f"{QUERY_SUBJECT}.{subject_token(project)}.>"


def project_account(project: str) -> str:
    """Name of the account of a project's producers."""
    return f"project-{subject_token(project)}"


def producer(project: str) -> Role:
    """Steps of one project. They may ask for it, too: a step looks up what others have logged.

    STREAM.INFO answers nobody in their account, which does not import it: with a filter it lists subjects, and so the
    names of other projects' models. The projector says which stream it archives instead.
    """
    subjects = (project_subjects(project), *ARCHIVE_SUBJECTS, _INFO, query_subjects(project))
    return Role(f"producer-{subject_token(project)}", subjects)


def project_reader(project: str) -> Role:
    """`Client("nats://…")` of one project."""
    return Role(f"reader-{subject_token(project)}", (query_subjects(project),))


def projector() -> Role:
    """`runlore projector`, and `runlore up` with the query service.

    It makes no stream, which the operator does, but that of its checkpoints and the bucket with its snapshots.
    """
    may_publish = (*_READ, *_SIGNING, *_SNAPSHOTS)
    return Role("projector", may_publish, (*ARCHIVE_SUBJECTS, *_ANSWER_QUERIES), responds=True)


def query_service() -> Role:
    """`runlore query serve`. It reads files, and nothing of the stream."""
    return Role("query-service", (), _ANSWER_QUERIES, responds=True)


def reader() -> Role:
    """What reads the stream: `runlore replica`, `replay --from`, `audit verify`, `doctor`."""
    return Role("reader", (*_READ, _FETCH))


def operator() -> Role:
    """`runlore operator stream --create` and `doctor`."""
    create = f"{_API}.STREAM.CREATE.{STREAM_NAME}"
    return Role("operator", (*_READ, create, f"{_API}.STREAM.NAMES", f"{_API}.INFO"))


def restorer() -> Role:
    """`runlore stream restore` and `runlore operator restore`: may replace the stream."""
    return Role("restorer", (*_READ, *_RESTORE))


def require_distinct(projects: tuple[str, ...]) -> None:
    """Raise SettingsError where two projects would share a password's variable."""
    names = [producer(project).password_variable for project in projects]
    if len(set(names)) < len(names):
        raise SettingsError(f"two of these projects have the same variable for their password: {', '.join(names)}")
