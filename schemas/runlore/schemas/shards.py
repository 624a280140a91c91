"""Shards: how the streams of one deployment are numbered, and the names that follow from a number.

shard 0   stream RUNLORE      subjects runlore.>       the only one, unless one stream is too small
shard 1   stream RUNLORE_01   subjects runlore-01.>
"""

from __future__ import annotations

import re

import msgspec

from runlore.schemas.errors import RunloreError
from runlore.schemas.subjects import SIGNING_TOKENS, STREAM_NAME, SUBJECT_PREFIX, subject_token

MAX_SHARD = 99

_PREFIX = re.compile(rf"{SUBJECT_PREFIX}(?:-(?!00)\d\d)?")
_STREAM = re.compile(rf"{STREAM_NAME}(?:_(?!00)(\d\d))?")


class Shard(msgspec.Struct, frozen=True):
    """One stream with its projector, log, view and query services. A project lives in one shard, whole."""

    number: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.number <= MAX_SHARD:
            raise RunloreError(f"shard {self.number}: use a whole number from 0 to {MAX_SHARD}")

    def __str__(self) -> str:
        return f"shard {self.number}"

    @property
    def stream(self) -> str:
        """Name of the stream."""
        return f"{STREAM_NAME}_{self.number:02}" if self.number else STREAM_NAME

    @property
    def prefix(self) -> str:
        """First token of its subjects."""
        return f"{SUBJECT_PREFIX}-{self.number:02}" if self.number else SUBJECT_PREFIX

    @property
    def subjects(self) -> str:
        """Everything that the stream takes."""
        return f"{self.prefix}.>"

    @property
    def archive_subject(self) -> str:
        """The projector answers here which stream it archives, and with `.<epoch>` appended which events it has.
        Outside of `subjects`: the stream must not store the questions."""
        return f"{self.prefix}_archive"

    @property
    def signing_subject(self) -> str:
        """See `subjects.SIGNING_SUBJECT`."""
        return f"{self.prefix}.{SIGNING_TOKENS}"

    @property
    def query_name(self) -> str:
        """Name of the query service, for NATS's discovery of services."""
        return f"{SUBJECT_PREFIX}-query-{self.number:02}" if self.number else f"{SUBJECT_PREFIX}-query"

    @property
    def query_subject(self) -> str:
        """Questions are asked on <this>.<project>.<method>: whoever may publish there reads the project."""
        return f"{self.query_name}.v1"

    @property
    def snapshot_bucket(self) -> str:
        """The bucket of NATS's object store with snapshots of the view, from which replicas begin."""
        return f"{self.stream}_SNAPSHOTS"

    def project_prefix(self, project: str) -> str:
        """The beginning of the subjects of a project's events."""
        return f"{self.prefix}.{subject_token(project)}."

    def subject(self, subject: str) -> str:
        """The subject in this shard of an event that was addressed before its shard was known."""
        return f"{self.prefix}.{subject.partition('.')[2]}" if self.number else subject

    @classmethod
    def of_stream(cls, name: str) -> Shard | None:
        """The shard whose stream has this name, None when it is none of ours."""
        found = _STREAM.fullmatch(name)
        return cls(int(found[1] or 0)) if found else None

    @staticmethod
    def prefix_of(subject: str, project: str) -> str | None:
        """The beginning that all subjects of a project's events have in its shard; None if this one is not of it."""
        first = subject.partition(".")[0]
        prefix = f"{first}.{subject_token(project)}."
        return prefix if subject.startswith(prefix) and _PREFIX.fullmatch(first) else None


def is_signing_subject(subject: str) -> bool:
    """Return whether a subject is that of statements about keys, in any shard."""
    return subject.endswith(SIGNING_TOKENS) and _PREFIX.fullmatch(subject[: -len(SIGNING_TOKENS) - 1]) is not None


SHARD_BUCKET = "runlore-shards"
"""The bucket of JetStream's key-value store that has the shard of each project which is not in shard 0."""
SHARD_STREAM = f"KV_{SHARD_BUCKET}"


def shard_key(project: str) -> str:
    """The subject of a project's key in that bucket."""
    return f"$KV.{SHARD_BUCKET}.{subject_token(project)}"


def read_shard(value: bytes) -> Shard:
    """The shard in a key's value; none is shard 0. Raises RunloreError for a value that is no shard's number."""
    text = value.decode("utf-8", "replace").strip()
    if not text:
        return Shard()
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_SHARD))):
        raise RunloreError(f"the bucket {SHARD_BUCKET} holds {text!r:.40}, which is no shard's number")
    return Shard(int(text))
