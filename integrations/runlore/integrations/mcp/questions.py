"""The arguments of each tool. Their JSON schemas, with these descriptions, are what a model reads."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MOST, USUAL = 100, 20
"""Results of one answer: at most, and unless told."""
MOST_COMPARED = 10

Reference = Annotated[
    str,
    Meta(
        description="An entity: `model:churn@3`, `model:churn@production` (a stage), `artifact:raw` (latest version),"
        " `run:<id, name, pipeline or prefix of an ID>`, `step:<run id>/<name>`, `prompt:greeting@2`."
    ),
]
When = Annotated[
    int | str | None,
    Meta(
        description="Read the state as of then: an event number, an ISO 8601 time with its zone, or a phrase such as"
        " `2h ago`. Without it, now."
    ),
]
Limit = Annotated[int, Meta(ge=1, le=MOST, description="Maximum number of results.")]
Cursor = Annotated[
    str | None, Meta(description="The `cursor` of the answer before, for its next page; with the same other arguments.")
]
Key = Annotated[str, Meta(description="A key, group or path of metadata: `loss`, `metrics`, `metrics.accuracy`.")]


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all arguments."""


class Kinds(Question, frozen=True, kw_only=True):
    """Arguments of `list_kinds`."""

    as_of: When = None


class Keys(Question, frozen=True, kw_only=True):
    """Arguments of `list_keys`."""

    kind: Annotated[str, Meta(description="A kind of entity, as `list_kinds` names it.")]
    as_of: When = None
    limit: Limit = MOST
    cursor: Cursor = None


class Find(Question, frozen=True, kw_only=True):
    """Arguments of `find`."""

    kind: Annotated[str | None, Meta(description="run, model, artifact, step, …; without it, all kinds.")] = None
    where: Annotated[
        str | list[str] | None,
        Meta(
            description="A filter such as `metrics.accuracy > 0.9 and framework = 'sklearn' and not retired`,"
            " `status = 'failed'`, `name contains 'churn'`, `created > 2026-03-01`; several must all hold."
        ),
    ] = None
    order_by: Annotated[str | None, Meta(description="A key or field; without it the newest come first.")] = None
    descending: bool = False
    columns: Annotated[
        Annotated[list[str], Meta(max_length=30)] | None,
        Meta(description="Keys and fields whose values to return, such as `metrics.accuracy`."),
    ] = None
    as_of: When = None
    limit: Limit = USUAL
    cursor: Cursor = None


class Get(Question, frozen=True, kw_only=True):
    """Arguments of `get`."""

    reference: Reference
    keys: Annotated[
        Annotated[list[str], Meta(max_length=MOST)] | None, Meta(description="Only these top-level keys.")
    ] = None
    as_of: When = None
    limit: Limit = USUAL
    cursor: Cursor = None


class Past(Question, frozen=True, kw_only=True):
    """Arguments of `history`."""

    reference: Reference
    key: Key
    since: When = None
    as_of: When = None
    limit: Limit = USUAL
    cursor: Cursor = None


class Diff(Question, frozen=True, kw_only=True):
    """Arguments of `diff`."""

    reference: Reference
    other: Annotated[str | None, Meta(description="The entity to compare it with; else give `since`.")] = None
    since: Annotated[When, Meta(description="Compare it with itself as of then.")] = None
    as_of: When = None
    limit: Limit = USUAL
    cursor: Cursor = None


class Compare(Question, frozen=True, kw_only=True):
    """Arguments of `compare`."""

    references: Annotated[list[Reference], Meta(min_length=2, max_length=MOST_COMPARED)]
    equal: Annotated[bool, Meta(description="Also the paths that are equal in all.")] = False
    best: Annotated[
        Literal["max", "min"] | None, Meta(description="Say which has the largest or smallest number of each path.")
    ] = None
    as_of: When = None
    limit: Limit = USUAL
    cursor: Cursor = None


class Blame(Question, frozen=True, kw_only=True):
    """Arguments of `blame`."""

    reference: Reference
    ended: Annotated[bool, Meta(description="Also paths that were removed or retracted, and why.")] = False
    as_of: When = None
    limit: Limit = USUAL
    cursor: Cursor = None


class Trace(Question, frozen=True, kw_only=True):
    """Arguments of `lineage`."""

    reference: Reference
    direction: Annotated[
        Literal["upstream", "downstream"],
        Meta(description="upstream: what it was made from; downstream: what was made from it."),
    ] = "upstream"
    depth: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="At most this number of links far.")] = None
    as_of: When = None
    limit: Limit = USUAL


class Search(Question, frozen=True, kw_only=True):
    """Arguments of `search`."""

    text: Annotated[str, Meta(description="Words; all must occur in one name, key or text. The last may be a prefix.")]
    kind: Annotated[str | None, Meta(description="Only entities of this kind.")] = None
    limit: Limit = USUAL


class Prove(Question, frozen=True, kw_only=True):
    """Arguments of `evidence`."""

    event: Annotated[
        int | str, Meta(description="The number of an event (`position` of an entry), or its ID (`event_id`).")
    ]
