"""Comparing entities leaf by leaf."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

from runlore.query.entities import Entity
from runlore.query.histories import frame
from runlore.schemas.cells import readable, to_cell
from runlore.schemas.paths import format_path


class Row(NamedTuple):
    """One leaf: its path and its value in each entity (None where it is absent; see `present`)."""

    path: str
    values: tuple[Any, ...]
    present: tuple[bool, ...]
    differs: bool


class Comparison:
    """A table of leaves by entities; those that differ come first, each part in order of first appearance."""

    def __init__(self, entities: Sequence[Entity]) -> None:
        self.entities = list(entities)
        columns = [_leaves(entity.metadata) for entity in self.entities]
        paths = list(dict.fromkeys(path for column in columns for path in column))
        rows = [_row(path, columns) for path in paths]
        self.rows: list[Row] = sorted(rows, key=lambda row: not row.differs)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """``{path: {reference: value}}``; a reference is left out where the leaf is absent."""
        return {
            row.path: {
                entity.reference: value
                for entity, value, there in zip(self.entities, row.values, row.present, strict=True)
                if there
            }
            for row in self.rows
        }

    def to_pandas(self) -> Any:
        """A DataFrame, one row a leaf, one column an entity. Raises RunloreError without pandas."""
        return frame(
            [row.values for row in self.rows],
            [entity.reference for entity in self.entities],
            [row.path for row in self.rows],
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(entity.reference)}</th>" for entity in self.entities)
        body = "".join(
            f"<tr><th style='text-align:left'>{html.escape(row.path)}</th>"
            + "".join(
                f"<td>{html.escape(readable(value)) if there else ''}</td>"
                for value, there in zip(row.values, row.present, strict=True)
            )
            + "</tr>"
            for row in self.rows
        )
        return f"<table><tr><th></th>{head}</tr>{body}</table>"


Change = Literal["added", "removed", "changed", "equal"]


class Difference(NamedTuple):
    """One leaf of two entities, or of one at two moments; None where it is absent."""

    path: str
    change: Change
    before: Any
    after: Any


def differences(before: Entity, after: Entity) -> list[Difference]:
    """Every leaf of either, what is not equal first."""
    found: list[Difference] = []
    for row in Comparison((before, after)).rows:
        was, is_now = row.present
        change: Change = "added" if not was else "removed" if not is_now else "changed" if row.differs else "equal"
        found.append(Difference(row.path, change, *row.values))
    return found


def _leaves(metadata: dict[str, Any], above: tuple[str, ...] = ()) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in metadata.items():
        if isinstance(value, dict) and value:
            found |= _leaves(cast(dict[str, Any], value), (*above, key))
        else:
            found[format_path((*above, key))] = value
    return found


def _row(path: str, columns: list[dict[str, Any]]) -> Row:
    present = tuple(path in column for column in columns)
    values = tuple(column.get(path) for column in columns)
    # As stored, with the type: NaN equals itself here, True is not 1, and ["1"] is not [1].
    seen = {to_cell(value) for value, there in zip(values, present, strict=True) if there}
    return Row(path, values, present, len(seen) > 1 or not all(present))
