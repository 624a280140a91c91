"""Roles: who may publish and receive what on an operator's own NATS server, and not one subject more.

    project-<project>   account of a tenant: producers and readers of one project, imported from the account below
    RUNLORE             account with the stream: projector, query service, reader of the stream, operator
    RUNLORE_<nn>        the same of another shard, whose users have its number behind their names

Nobody has STREAM.UPDATE, DELETE, PURGE, RESTORE, MSG.DELETE, SNAPSHOT, PEER.REMOVE or LEADER.STEPDOWN of the stream,
or another stream than the buckets with snapshots and shards; `restorer` has some of them, for as long as a restore
takes. Each user has an inbox of its own: what the projector reads arrives there, and a user who may subscribe to
`_INBOX.>` reads along.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from runlore.schemas.errors import SettingsError
from runlore.schemas.shards import SHARD_BUCKET, SHARD_STREAM, Shard
from runlore.schemas.subjects import CHECKPOINT_STREAM, CHECKPOINT_SUBJECT, subject_token
from runlore.wire.shards import shard_request

_API = "$JS.API"
_FIRST = Shard()
_SHARD_INFO = f"{_API}.STREAM.INFO.{SHARD_STREAM}"


def account(shard: Shard) -> str:
    """Name of the account that has the stream of a shard."""
    return shard.stream


def archive_subjects(shard: Shard) -> tuple[str, ...]:
    """The subjects on which the projector answers relays."""
    return (shard.archive_subject, f"{shard.archive_subject}.*")


def _info(shard: Shard) -> str:
    return f"{_API}.STREAM.INFO.{shard.stream}"


def _read(shard: Shard) -> tuple[str, ...]:
    requests = ("STREAM.MSG.GET.{}", "CONSUMER.CREATE.{}.*", "CONSUMER.MSG.NEXT.{}.*")
    return (_info(shard), *(f"{_API}.{request.format(shard.stream)}" for request in requests))


def _signing(shard: Shard) -> tuple[str, ...]:
    """Checkpoints go to a small stream of their own, which the projector makes; changes of the key into the log."""
    requests = (f"{_API}.STREAM.{request}.{CHECKPOINT_STREAM}" for request in ("CREATE", "MSG.GET"))
    return (shard.signing_subject, f"{CHECKPOINT_SUBJECT}.*", *requests)


def _answer_queries(shard: Shard) -> tuple[str, ...]:
    """What a micro service subscribes to: its questions, and those about itself."""
    rests = ("", f".{shard.query_name}", f".{shard.query_name}.*")
    return (
        f"{shard.query_subject}.*.*",
        *(f"$SRV.{verb}{rest}" for verb in ("PING", "INFO", "STATS") for rest in rests),
    )


def _fetch(shard: Shard) -> str:
    return f"{_API}.DIRECT.GET.OBJ_{shard.snapshot_bucket}"


def _snapshots(shard: Shard) -> tuple[str, ...]:
    bucket = shard.snapshot_bucket
    return (
        *(f"{_API}.STREAM.{request}.OBJ_{bucket}" for request in ("CREATE", "INFO", "PURGE", "MSG.DELETE")),
        _fetch(shard),
        f"$O.{bucket}.>",
    )


def _restore(shard: Shard) -> tuple[str, ...]:
    requests = ("CREATE", "UPDATE", "DELETE", "SNAPSHOT", "RESTORE")
    return (*(f"{_API}.STREAM.{request}.{shard.stream}" for request in requests), "$JS.SNAPSHOT.>")


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


def project_subjects(project: str, shard: Shard = _FIRST) -> str:
    """The subjects of a project's events."""
    return f"{shard.project_prefix(project)}>"


def query_subjects(project: str, shard: Shard = _FIRST) -> str:
    """The subjects of questions about a project."""
    return f"{shard.query_subject}.{subject_token(project)}.>"


def shard_lookup(project: str) -> str:
    """The subject on which a project's shard is asked for."""
    return f"{_API}.{shard_request(project)}"


def project_account(project: str) -> str:
    """Name of the account of a project's producers."""
    return f"project-{subject_token(project)}"


def producer(project: str, shard: Shard = _FIRST) -> Role:
    """Steps of one project. They may ask for it, too: a step looks up what others have logged.

    STREAM.INFO answers nobody in their account, which does not import it: with a filter it lists subjects, and so the
    names of other projects' models. The projector says which stream it archives instead.
    """
    subjects = (project_subjects(project, shard), *archive_subjects(shard), _info(shard))
    return Role(f"producer-{subject_token(project)}", (*subjects, *_look_up(project, shard)))


def project_reader(project: str, shard: Shard = _FIRST) -> Role:
    """`Client("nats://…")` of one project."""
    return Role(f"reader-{subject_token(project)}", _look_up(project, shard))


def _look_up(project: str, shard: Shard) -> tuple[str, ...]:
    """What it takes to ask a query service: which shard it is in, too."""
    return (query_subjects(project, shard), shard_lookup(project), _SHARD_INFO)


def projector(shard: Shard = _FIRST) -> Role:
    """`runlore projector`, and `runlore up` with the query service.

    It makes no stream, which the operator does, but that of its checkpoints and the bucket with its snapshots.
    """
    answers = (*archive_subjects(shard), *_answer_queries(shard))
    return _service("projector", shard, (*_read(shard), *_signing(shard), *_snapshots(shard)), answers)


def query_service(shard: Shard = _FIRST) -> Role:
    """`runlore query serve`. It reads files, and asks the projector which stream there is."""
    return _service("query-service", shard, (shard.archive_subject,), _answer_queries(shard))


def reader(shard: Shard = _FIRST) -> Role:
    """What reads the stream: `runlore replica`, `replay --from`, `audit verify`, `doctor`."""
    return _service("reader", shard, (*_read(shard), _fetch(shard)))


def operator(shard: Shard = _FIRST) -> Role:
    """`runlore operator stream --create`, `runlore operator shard` and `doctor`."""
    own = (f"{_API}.STREAM.CREATE.{shard.stream}", f"{_API}.STREAM.NAMES", f"{_API}.INFO")
    bucket = (_SHARD_INFO, f"{_API}.STREAM.CREATE.{SHARD_STREAM}", f"$KV.{SHARD_BUCKET}.>")
    return _service("operator", shard, (*_read(shard), *own, *bucket))


def restorer(shard: Shard = _FIRST) -> Role:
    """`runlore stream restore` and `runlore operator restore`: may replace the stream."""
    return _service("restorer", shard, (*_read(shard), *_restore(shard)))


def _service(name: str, shard: Shard, publish: tuple[str, ...], answers: tuple[str, ...] = ()) -> Role:
    user = f"{name}-{shard.number:02}" if shard.number else name
    return Role(user, publish, answers, responds=bool(answers))


def require_distinct(projects: tuple[str, ...]) -> None:
    """Raise SettingsError where two projects would share a password's variable."""
    names = [producer(project).password_variable for project in projects]
    if len(set(names)) < len(names):
        raise SettingsError(f"two of these projects have the same variable for their password: {', '.join(names)}")
