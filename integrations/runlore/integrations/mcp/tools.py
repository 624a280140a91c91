"""The tools: what each answers. None writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from runlore.integrations.mcp import answers, questions
from runlore.integrations.mcp.reading import (
    client_at,
    client_of_page,
    entity,
    entity_of,
    entry,
    page,
    shown,
    shown_value,
)
from runlore.query import Client, difference_record, logged_record
from runlore.schemas import ArgumentError, NotFoundError, ReceiptTimeoutError

LOOKED_AT = 50
"""Newest entities of a kind whose keys are listed."""
NOTES = 10
"""Newest notes of an entity."""


class Tool(NamedTuple):
    """One tool: its arguments, its answer, and what makes the one of the other. The docstring describes it."""

    name: str
    question: type[questions.Question]
    answer: type[answers.Answer]
    read: Callable[[Client, Any], dict[str, Any]]

    @property
    def description(self) -> str:
        """What the tool answers, for a model to choose it."""
        return " ".join((self.read.__doc__ or "").split())


def list_kinds(client: Client, asked: questions.Kinds) -> dict[str, Any]:
    """List the kinds of entities (run, step, model, artifact, …), the number of each, and how far the log is."""
    at = client_at(client, asked.as_of)
    kinds = [{"kind": kind, "count": count} for kind, count in at.list_kinds().items()]
    return {"project": at.project, "position": at.position, "recorded_at": at.recorded_at, "kinds": kinds}


def list_keys(client: Client, asked: questions.Keys) -> dict[str, Any]:
    """List the paths of metadata and the fields of a kind, to filter and order by, from its newest 50 entities."""
    at, offset = client_of_page(client, asked)
    frame = at.frame(asked.kind, limit=LOOKED_AT)
    if not len(frame) and asked.kind not in (kinds := at.list_kinds()):
        raise NotFoundError(f"There is no entity of kind {asked.kind!r}; there are: {', '.join(kinds) or 'none yet'}")
    keys = [_key_of(name, frame[name]) for name in frame.columns]
    shown_keys, cursor = page(keys, asked, at, offset)
    return {
        "kind": asked.kind, "entities": len(frame), "keys": shown_keys, "position": at.position, "cursor": cursor
    }  # fmt: skip


def _key_of(name: str, values: list[Any]) -> dict[str, Any]:
    there = [value for value in values if value is not None]
    types = sorted({type(value).__name__ for value in there})
    return {"path": name, "type": " or ".join(types) or "none", "count": len(there)}


def find(client: Client, asked: questions.Find) -> dict[str, Any]:
    """Find entities by a filter over their metadata and fields, in an order, with the values of chosen columns."""
    found = client.find(
        asked.kind, asked.where, order_by=asked.order_by, descending=asked.descending,
        limit=asked.limit, after=asked.cursor, as_of=asked.as_of,
    )  # fmt: skip
    entities = [entity(item) for item in found]
    if asked.columns:
        rows = client.table(found, asked.columns).to_dicts()
        for record, row in zip(entities, rows, strict=True):
            record["values"] = {name: shown_value(value) for name, value in row.items()}
    return {"entities": entities, "position": found.position, "cursor": found.cursor}


def get(client: Client, asked: questions.Get) -> dict[str, Any]:
    """Get one entity: the latest value of each key with who logged it, when and from which run; its newest notes."""
    at, offset = client_of_page(client, asked)
    found = entity_of(at, asked.reference)
    entries = found.run_metadata
    keys = list(entries) if asked.keys is None else [key for key in asked.keys if entries[key]]
    some, cursor = page(keys, asked, at, offset)
    return {
        "entity": entity(found),
        "metadata": {key: entry(entries[key]) for key in some},
        "notes": [entry(note) for note in found.notes[-NOTES:]],
        "position": at.position,
        "cursor": cursor,
    }


def history(client: Client, asked: questions.Past) -> dict[str, Any]:
    """Get every value that a key ever had, newest first, each with who, when, from where, and the value before."""
    at = client_at(client, asked.as_of)
    if asked.cursor is not None and not (asked.cursor.isdecimal() and len(asked.cursor) < 20):
        raise ArgumentError("This cursor is none of this tool's: pass the `cursor` of the answer before as it was")
    found = entity_of(at, asked.reference)
    before = None if asked.cursor is None else int(asked.cursor)
    entries = found.history(asked.key, asked.limit + 1, asked.since, before=before, newest_first=True)
    more = str(entries[asked.limit - 1].position) if len(entries) > asked.limit else None
    return {
        "reference": found.reference,
        "entries": [entry(item) for item in entries[: asked.limit]],
        "position": entries.position,
        "cursor": more,
    }


def diff(client: Client, asked: questions.Diff) -> dict[str, Any]:
    """Get what differs between two entities, or in one entity between two moments: added, removed, changed paths."""
    if (asked.other is None) == (asked.since is None):
        raise ArgumentError("Give either `other`, an entity, or `since`, a moment, to compare with")
    at, offset = client_of_page(client, asked)
    first = entity_of(at, asked.reference)
    other = None if asked.other is None else entity_of(at, asked.other)
    found = at.diff(first, other, since=asked.since)
    changed = [item for item in found if item.change != "equal"]
    some, cursor = page(changed, asked, at, offset)
    records = [difference_record(item) for item in some]
    return {
        "before": {"reference": found.before.reference, "position": found.before.position},
        "after": {"reference": found.after.reference, "position": found.after.position},
        "differences": [{**it, "before": shown(it["before"]), "after": shown(it["after"])} for it in records],
        "position": found.position,
        "cursor": cursor,
    }


def compare(client: Client, asked: questions.Compare) -> dict[str, Any]:
    """Compare 2 to 10 entities path by path, in a table; paths that differ come first."""
    at, offset = client_of_page(client, asked)
    table = at.compare([entity_of(at, reference) for reference in asked.references], asked.best)
    rows, cursor = page([row for row in table.rows if row.differs or asked.equal], asked, at, offset)
    return {
        "references": [item.reference for item in table.entities],
        "rows": [
            {
                "path": row.path,
                "values": [shown_value(value) for value in row.values],
                "present": list(row.present),
                "differs": row.differs,
                "best": list(row.best),
            }
            for row in rows
        ],
        "position": at.position,
        "cursor": cursor,
    }


def blame(client: Client, asked: questions.Blame) -> dict[str, Any]:
    """Get for each path of an entity the entry that last set it: who, when, from which run and in which event."""
    at, offset = client_of_page(client, asked)
    found = entity_of(at, asked.reference)
    entries, cursor = page(found.blame(asked.ended), asked, at, offset)
    return {
        "reference": found.reference,
        "entries": [entry(item) for item in entries],
        "position": at.position,
        "cursor": cursor,
    }


def lineage(client: Client, asked: questions.Trace) -> dict[str, Any]:
    """Get what an entity was made from (steps, artifacts, runs, models), or what was made from it."""
    at = client_at(client, asked.as_of)
    found = entity_of(at, asked.reference)
    walk = found.upstream if asked.direction == "upstream" else found.downstream
    return {**walk(asked.depth, asked.limit).to_dict(), "position": at.position}


def search(client: Client, asked: questions.Search) -> dict[str, Any]:
    """Search for words in names, keys and texts of the latest state."""
    hits = client.search(asked.text, asked.kind, asked.limit)
    found = [{**msgspec.structs.asdict(hit), "entity": None, "reference": hit.entity.reference} for hit in hits]
    return {"hits": [{**hit, "snippet": shown(hit["snippet"])} for hit in found], "position": hits.position}


def evidence(client: Client, asked: questions.Prove) -> dict[str, Any]:
    """Prove that an event is in the tamper-evident log: the event, its leaf, and the newest signed checkpoint.
    Needs the data folder of a projector. The signature is not checked here: `runlore audit verify` does."""
    event = asked.event
    if isinstance(event, str) and not event.isdecimal():
        try:
            event = client.wait_for(event, timeout=0)
        except ReceiptTimeoutError:
            raise NotFoundError(f"There is no event with the ID {event!r} in the log") from None
    found = client.logged_event(int(event))
    if not found.subject.startswith(client.scope.reader.shard.project_prefix(client.project)):
        raise NotFoundError(f"Event {found.position:,} is not of project {client.project!r}")
    proof = found.proof
    return {
        "position": found.position,
        "in_log": True,
        "event": shown_event(logged_record(found)),
        "proof": None
        if proof is None
        else {
            "index": proof.index,
            "leaf": proof.leaf.hex(),
            "siblings": [step.sibling.hex() for step in proof.steps],
            "checkpoint": {**msgspec.structs.asdict(proof.checkpoint), "root": proof.checkpoint.root.hex()},
        },
        "unproved": found.unproved,
        "tampered": found.tampered,
        "signer": None if found.signer is None else msgspec.structs.asdict(found.signer),
    }


def shown_event(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record of an event, its fact as it is shown."""
    return {name: shown(msgspec.to_builtins(value)) for name, value in record.items()}


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("list_kinds", questions.Kinds, answers.KindsOut, list_kinds),
        Tool("list_keys", questions.Keys, answers.KeysOut, list_keys),
        Tool("find", questions.Find, answers.FoundOut, find),
        Tool("get", questions.Get, answers.WholeOut, get),
        Tool("history", questions.Past, answers.EntriesOut, history),
        Tool("diff", questions.Diff, answers.DifferencesOut, diff),
        Tool("compare", questions.Compare, answers.ComparisonOut, compare),
        Tool("blame", questions.Blame, answers.EntriesOut, blame),
        Tool("lineage", questions.Trace, answers.LineageOut, lineage),
        Tool("search", questions.Search, answers.HitsOut, search),
        Tool("evidence", questions.Prove, answers.EvidenceOut, evidence),
    )
}
"""By name, in the order in which they are listed."""
