"""Events: the facts of the log, one frozen struct each, and the envelope around them.

The stored form is a MessagePack map of the field names below; `docs/events.md` is generated from
this file. Fields are only ever added, with a default; their types never change. No value that can be stored
holds itself, so the garbage collector need not look at events (`gc=False`).
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import msgspec

from runlore.schemas.references import EntityRef

SCHEMA_VERSION = 1
"""The version of the event format this code writes."""

RunStatus = Literal["completed", "failed", "killed"]
"""How a run or step ended; ``killed``: somebody or something stopped it."""


class Fact(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", gc=False):
    """Base of all facts: what happened, without who and when."""


class MetadataLogged(Fact, frozen=True, tag="metadata_logged"):
    """Values were logged on one or more entities, all together or not at all."""

    targets: tuple[EntityRef, ...]
    """The entities; each gets every key."""
    metadata: dict[str, Any]
    """Packed values by top-level key (see `values`)."""
    merge: bool = False
    """Merge groups one level deep instead of replacing them."""
    at_step: int | None = None
    """The point on the training's own axis that the values belong to: a batch, an epoch. No step of a run."""


class MetadataRetracted(Fact, frozen=True, tag="metadata_retracted"):
    """Keys, groups or single values were withdrawn; their history stays."""

    targets: tuple[EntityRef, ...]
    paths: tuple[tuple[str, ...], ...]
    """The retracted paths; a group's path retracts all its leaves."""
    reason: str


class RunStarted(Fact, frozen=True, tag="run_started"):
    """A pipeline run began; the run's ID is the envelope's `run`."""

    pipeline: str
    name: str
    model: EntityRef | None = None
    """The model in context, if any; without a version the run creates one."""
    parameters: dict[str, Any] = {}
    retry_of: EntityRef | None = None
    """The run that failed before and is tried again with this one."""
    parent: EntityRef | None = None
    """The run that this one is a part of: a sweep, a cross-validation."""
    group: str | None = None
    """What it is listed with: an experiment, a study."""
    tags: tuple[str, ...] = ()


class RunDescribed(Fact, frozen=True, tag="run_described"):
    """What a run was started in: code, command, interpreter, packages; the run is the envelope's."""

    environment: dict[str, Any]
    """Packed values."""


class RunFinished(Fact, frozen=True, tag="run_finished"):
    """A pipeline run ended."""

    status: RunStatus
    error_type: str | None = None
    error_message: str | None = None


class StepStarted(Fact, frozen=True, tag="step_started"):
    """A step began; run and step are the envelope's."""

    model: EntityRef | None = None
    """The model in context, if any; without a version the run creates one."""
    parameters: dict[str, Any] = {}
    retry_of: EntityRef | None = None
    """The step that failed before and is tried again with this one."""


class StepFinished(Fact, frozen=True, tag="step_finished"):
    """A step ended."""

    status: RunStatus
    error_type: str | None = None
    error_message: str | None = None


class ArtifactVersionProduced(Fact, frozen=True, tag="artifact_version_produced"):
    """The step in the envelope produced a version of an artifact; without a version, a new one."""

    artifact: EntityRef
    data_type: str | None = None
    """The Python type of the value, for example ``pandas.DataFrame``."""
    is_model_artifact: bool = False


class ArtifactVersionConsumed(Fact, frozen=True, tag="artifact_version_consumed"):
    """The step in the envelope read a version of an artifact; without a version, the latest."""

    artifact: EntityRef
    produced_by: EntityRef | None = None
    """The step that made it, when that is known: then its version is meant, not the latest."""


class ModelVersionCreated(Fact, frozen=True, tag="model_version_created"):
    """A model version came into being; without a version, one per run."""

    model: EntityRef


class ModelStageChanged(Fact, frozen=True, tag="model_stage_changed"):
    """A model version took a stage; another version that held it becomes ``archived``."""

    model: EntityRef
    stage: str
    reason: str | None = None


class TagsChanged(Fact, frozen=True, tag="tags_changed"):
    """Tags were put on entities, or taken off."""

    targets: tuple[EntityRef, ...]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class NoteAdded(Fact, frozen=True, tag="note_added"):
    """Someone wrote a note on entities."""

    targets: tuple[EntityRef, ...]
    text: str


AnyFact = (
    MetadataLogged
    | MetadataRetracted
    | RunStarted
    | RunFinished
    | StepStarted
    | StepFinished
    | ArtifactVersionProduced
    | ArtifactVersionConsumed
    | ModelVersionCreated
    | ModelStageChanged
    | NoteAdded
    | TagsChanged
    | RunDescribed
)


class Actor(msgspec.Struct, frozen=True, gc=False):
    """Who emitted an event."""

    user: str
    host: str
    pid: int
    library: str
    """Name and version of the emitting library, for example ``runlore 0.1.0``."""


class Signature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The key and signature of an event: see "Signatures" below."""

    key: bytes
    """The Ed25519 public key, 32 bytes; the event's `producer_id` names it, too."""
    hash: bytes = b""
    """Never set by a producer: SHA-256 of the bytes that were signed, kept when values are erased from the event."""
    value: bytes
    """64 bytes, the last ones of the event."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One immutable fact with its envelope, published once."""

    id: str
    """UUIDv7, made once by the producer: the identity of the event everywhere."""
    schema: int
    """The format version these bytes were written in."""
    project: str
    occurred_at: dt.datetime
    """UTC, by the producer's clock; never decides order."""
    actor: Actor
    producer_id: str
    """One outbox of one process."""
    producer_seq: int
    """Counts the events of one producer from 1 without gaps."""
    fact: AnyFact
    run: str | None = None
    step: str | None = None
    traceparent: str | None = None
    """W3C trace context: of the current OpenTelemetry span, else of the emitting process."""
    causation_id: str | None = None
    """The event that led to this one."""
    salt: bytes = b""
    """16 random bytes, made with the event: nobody can guess its values from its hash in the audit tree."""
    signature: Signature | None = None
    """Of a producer that signs. It is over all bytes before its own, so it is encoded last: no field may follow it."""


def event_type(fact: Fact) -> str:
    """The tag a fact is stored under, for example ``metadata_logged``."""
    return _TAGS[type(fact)]


def fact_tag(kind: type[Fact]) -> str:
    """Return the tag of a type of fact."""
    return str(kind.__struct_config__.tag)


def fact_types() -> tuple[type[Fact], ...]:
    """All fact types, in the order of `AnyFact`."""
    return tuple(AnyFact.__args__)


_TAGS = {kind: fact_tag(kind) for kind in fact_types()}
