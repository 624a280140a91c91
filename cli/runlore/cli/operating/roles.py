"""Roles: who may publish and receive what on an operator's own NATS server, and not one subject more.

    project-<project>   account of a tenant: producers of one project, which it imports from the account below
    RUNLORE             account with the stream: projector, reader, operator

Nobody has STREAM.UPDATE, DELETE, PURGE, RESTORE, MSG.DELETE, SNAPSHOT, PEER.REMOVE or LEADER.STEPDOWN, or another
stream; `restorer` has some of them, for as long as a restore takes. Each user has an inbox of its own: what the
projector reads arrives there, and a user who may subscribe to `_INBOX.>` reads along.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from runlore.schemas.errors import SettingsError
from runlore.schemas.subjects import (
    ARCHIVE_SUBJECT,
    CHECKPOINT_STREAM,
    CHECKPOINT_SUBJECT,
    SIGNING_SUBJECT,
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
    """Whether it answers questions."""

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


def project_account(project: str) -> str:
    """Name of the account of a project's producers."""
    return f"project-{subject_token(project)}"


def producer(project: str) -> Role:
    """Steps of one project.

    STREAM.INFO answers nobody in their account, which does not import it: with a filter it lists subjects, and so the
    names of other projects' models. The projector says which stream it archives instead.
    """
    return Role(f"producer-{subject_token(project)}", (project_subjects(project), *ARCHIVE_SUBJECTS, _INFO))


def projector() -> Role:
    """`runlore projector`. It makes no stream but that of its checkpoints: the operator does."""
    return Role("projector", (*_READ, *_SIGNING), ARCHIVE_SUBJECTS, responds=True)


def reader() -> Role:
    """Commands that read the stream: `replay --from`, `audit verify`, `doctor`."""
    return Role("reader", _READ)


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
