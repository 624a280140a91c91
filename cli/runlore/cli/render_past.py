"""Histories, blame, differences and comparisons in a terminal."""

from __future__ import annotations

from runlore.cli.output import print_table
from runlore.cli.render import ended_or, text, when, where, who
from runlore.query import Comparison, Difference, Differences, Entity, Entry, History, PipelineRun
from runlore.query.time.moment import Clock
from runlore.schemas.special import StorageSize

MARKS = {"added": "+", "removed": "-", "changed": "~", "equal": "="}


def print_history(history: History, title: str, clock: Clock) -> None:
    """Print the history of a key; times are by `clock`."""
    signatures = _signatures(history)
    rows = [
        (
            str(entry.position),
            _time(entry, clock),
            ended_or(entry),
            "" if entry.previous_type is None else text(entry.previous),
            entry.type,
            who(entry),
            where(entry),
            *signature,
        )
        for entry, signature in zip(history, signatures, strict=True)
    ]
    print_table(("event", clock, "value", "before", "type", "by", "run/step", *_heading(signatures)), rows, title)


def print_blame(entries: History, title: str, clock: Clock) -> None:
    """Print each key with its value, and who set it, when and in which event."""
    signatures = _signatures(entries)
    rows = [
        (text(e.path), ended_or(e), str(e.position), _time(e, clock), who(e), where(e), *signature)
        for e, signature in zip(entries, signatures, strict=True)
    ]
    print_table(("key", "value", "event", clock, "by", "run/step", *_heading(signatures)), rows, title)


def _signatures(entries: History) -> list[tuple[str, ...]]:
    """Whom each entry's signature proves, in a column of its own, where no name that a producer claims can say it.

    None where nothing is signed.
    """
    signed = any(entry.signer for entry in entries)
    return [(str(entry.signer or "claimed"),) if signed else () for entry in entries]


def _heading(signatures: list[tuple[str, ...]]) -> tuple[str, ...]:
    return ("signature",) if any(signatures) else ()


def _time(entry: Entry, clock: Clock) -> str:
    return when(entry.created if clock == "recorded" else entry.occurred_at)


def print_differences(found: Differences, all_rows: bool) -> None:
    """Print changes, marked `+`, `-` or `~`; `all_rows`: also what is equal."""
    rows = [
        (
            MARKS[item.change],
            text(item.path),
            "" if item.change == "added" else text(item.before),
            "" if item.change == "removed" else text(item.after),
            _delta(item),
        )
        for item in found
        if all_rows or item.change != "equal"
    ]
    before, after = _side(found.before), _side(found.after)
    print_table(("", "key", before, after, "change"), rows, None if rows else "no difference")


def _side(entity: Entity) -> str:
    return f"{text(_short(entity))}, event {entity.position:,}"


def _delta(item: Difference) -> str:
    if item.delta is None or item.change == "equal":
        return ""
    sign = "+" if item.delta >= 0 else ""
    amount = text(item.delta) if isinstance(item.delta, StorageSize) else f"{item.delta:.6g}"
    if type(item.delta) is int:
        amount = text(item.delta)
    return f"{sign}{amount}" + ("" if item.relative is None else f" ({item.relative:+.1%})")


def print_comparison(comparison: Comparison, all_rows: bool) -> None:
    """Print differing rows first, marked; `all_rows`: also equal ones; a `*` behind the best numbers."""
    rows = [
        (
            "≠" if row.differs else "=",
            text(row.path),
            *(
                (text(value) if there else "") + (" *" if column in row.best else "")
                for column, (value, there) in enumerate(zip(row.values, row.present, strict=True))
            ),
        )
        for row in comparison.rows
        if row.differs or all_rows
    ]
    print_table(("", "key", *(text(_short(entity)) for entity in comparison.entities)), rows)


def _short(entity: Entity) -> str:
    return f"run {entity.name}" if isinstance(entity, PipelineRun) else entity.reference
