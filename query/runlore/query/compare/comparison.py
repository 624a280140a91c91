"""Comparing any number of entities leaf by leaf."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from runlore.query.entity import Entity
from runlore.query.frames import Frame, Framed, installed
from runlore.query.notebook import html_table
from runlore.query.numbers import is_number
from runlore.query.view.budget import read_cell
from runlore.query.view.leaves import Cells
from runlore.schemas.errors import ArgumentError
from runlore.schemas.paths import parse_path
from runlore.store.cells import readable

Best = Literal["max", "min"]
_MOST_NAMED = 3


class ComparisonRow(NamedTuple):
    """One path and its value in each entity (None where it is absent; see `present`)."""

    path: str
    values: tuple[Any, ...]
    present: tuple[bool, ...]
    differs: bool
    best: tuple[int, ...] = ()
    """Indexes of the entities with the best number, if `best` was given and the row differs."""


class Comparison(Framed):
    """A table of paths by entities; those that differ come first, each part in order of first appearance.

    Parameters of runs and steps are rows, too (``parameters.lr``), unless metadata has that path; none is ever best.

    Raises ValueError for a `best` that is neither ``"max"`` nor ``"min"``.
    """

    def __init__(self, entities: Sequence[Entity], best: Best | None = None) -> None:
        if best not in (None, "max", "min"):
            raise ArgumentError(f'best is "max" or "min", not {best!r}')
        self.entities = list(entities)
        self.position = min((entity.position for entity in self.entities), default=0)
        """Every column is complete up to this event."""
        leaves = [entity.cells() for entity in self.entities]
        parameters = [entity.parameter_cells() for entity in self.entities]
        table = _table(leaves)
        known = len(table)
        table |= {path: cells for path, cells in _table(parameters).items() if path not in table}
        self.parameters = frozenset([*table][known:])
        """The rows that are parameters."""
        keys = {path: parse_path(path)[0] for path in table}
        order = {key: place for place, key in enumerate(dict.fromkeys(keys.values()))}
        rows = [_row(path, cells, None if path in self.parameters else best) for path, cells in table.items()]
        self.rows: list[ComparisonRow] = sorted(rows, key=lambda row: (not row.differs, order[keys[row.path]]))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """``{path: {reference: value}}``; a reference is left out where the path is absent."""
        return {
            row.path: {
                entity.reference: value
                for entity, value, there in zip(self.entities, row.values, row.present, strict=True)
                if there
            }
            for row in self.rows
        }

    def to_frame(self) -> Frame:
        """Return a row for each entity, a column for each path."""
        named = {"reference": [entity.reference for entity in self.entities]}
        return Frame({**named, **{row.path: row.values for row in self.rows if row.path not in named}}, self.position)

    def to_pandas(self) -> Any:
        """Return a DataFrame: a row for each path, a column for each entity. Raises RunloreError without pandas.

        Its values are as they were logged; `to_frame`, with a column for each path, has types.
        """
        pandas = installed("pandas", "to_pandas()")
        rows, paths = [row.values for row in self.rows], [row.path for row in self.rows]
        return pandas.DataFrame(rows, columns=[entity.reference for entity in self.entities], index=paths, dtype=object)

    def _repr_html_(self) -> str:
        rows = [
            (
                row.path,
                *(readable(value) if there else None for value, there in zip(row.values, row.present, strict=True)),
            )
            for row in self.rows
        ]
        return html_table(("", *(entity.reference for entity in self.entities)), rows)

    def __repr__(self) -> str:
        differing = sum(row.differs for row in self.rows)
        named = ", ".join(entity.reference for entity in self.entities[:_MOST_NAMED])
        more = len(self.entities) - _MOST_NAMED
        return (
            f"<Comparison of {named}{f' and {more} more' if more > 0 else ''}: "
            f"{len(self.rows)} keys, {differing} differ>"
        )


def _table(columns: list[Cells]) -> dict[str, list[tuple[str, Any] | None]]:
    """For each path a row with the cell of each column."""
    table: dict[str, list[tuple[str, Any] | None]] = {}
    for column, own in enumerate(columns):
        for path, cell in own.items():
            cells = table.get(path)
            if cells is None:
                cells = table[path] = [None] * len(columns)
            cells[column] = cell
    return table


def _row(path: str, cells: list[tuple[str, Any] | None], best: Best | None) -> ComparisonRow:
    values = tuple(None if cell is None else read_cell(*cell) for cell in cells)
    present = tuple(cell is not None for cell in cells)
    # As stored, with the type: NaN equals itself here, True is not 1, and ["1"] is not [1].
    differs = len(set(cells)) > 1
    return ComparisonRow(path, values, present, differs, best_columns(values, best) if best and differs else ())


def best_columns(values: tuple[Any, ...], best: Best) -> tuple[int, ...]:
    """The columns with the largest or smallest number; none where fewer than two have one."""
    numbers = {column: value for column, value in enumerate(values) if is_number(value) and value == value}
    if len(numbers) < 2:
        return ()  # nothing to be better than
    winner = max(numbers.values()) if best == "max" else min(numbers.values())
    return tuple(column for column, value in numbers.items() if value == winner)
