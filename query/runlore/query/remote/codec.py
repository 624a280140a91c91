"""Answers and arguments as MessagePack: every type comes back exactly, and entities as references to what they are.

Plain numbers and texts travel as they are, other values in the codec of events, all else as a list with a tag first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runlore.query.compare.comparison import Comparison, ComparisonRow
from runlore.query.compare.diff import Difference, Differences
from runlore.query.entities import Steps
from runlore.query.entity import Entity
from runlore.query.entries import Entry, Metadata
from runlore.query.find.search import Found
from runlore.query.find.unknown import UnknownKey
from runlore.query.frames import Frame
from runlore.query.history import History
from runlore.query.lineage import Edge, Hop, Lineage
from runlore.query.series import Series
from runlore.query.text_search import Hit, Hits
from runlore.query.time.moment import Moment
from runlore.query.watch.changes import Change, Page
from runlore.query.watch.selection import Place
from runlore.schemas.errors import ArgumentError, RunloreError
from runlore.schemas.events import Actor
from runlore.schemas.references import EntityRef
from runlore.schemas.refusal import UnsupportedError
from runlore.schemas.signatures import Signer
from runlore.schemas.values import decode_value, encode_value

EntityMaker = Callable[[list[Any], Moment, str | None], Entity]
"""Makes an entity of a row, a moment and, of a run, the name that it goes by, if that was read."""

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_STRUCTS: tuple[Any, ...] = (Actor, Change, EntityRef, Entry, Hit, Signer)
_TUPLES: tuple[Any, ...] = (ComparisonRow, Difference, Edge, Hop, Moment, Page, Place, Series, UnknownKey)
_FIELDS: dict[type[Any], tuple[str, ...]] = {
    **{kind: kind.__struct_fields__ for kind in _STRUCTS},
    **{kind: kind._fields for kind in _TUPLES},
}
_KINDS = {kind.__name__: kind for kind in _FIELDS}


def pack(value: Any) -> Any:
    """Return what MessagePack can hold. Raises RunloreError for what cannot travel."""
    kind = value.__class__
    if value is None or kind is bool or kind is float or (kind is int and _INT_MIN <= value <= _INT_MAX):
        return value
    if kind is str and value.isascii():
        return value
    if isinstance(value, Entity):
        row = value._row  # pyright: ignore[reportPrivateUsage] -- own
        return ["entity", list(row), *value.moment, vars(value).get("_read_name")]
    if kind in _FIELDS:
        return [kind.__name__, *(pack(getattr(value, name)) for name in _FIELDS[kind])]
    packer = _PACKERS.get(kind)
    if packer is not None:
        return [kind.__name__, *packer(value)]
    try:
        return ["value", encode_value(value)]
    except UnsupportedError as error:
        raise RunloreError(f"{kind.__name__} cannot travel to or from a query service: {error}") from error


def _all(values: Any) -> list[Any]:
    return [pack(value) for value in values]


_PACKERS: dict[type[Any], Callable[[Any], list[Any]]] = {
    list: _all,
    tuple: _all,
    dict: lambda found: [[pack(key), pack(value)] for key, value in found.items()],
    History: lambda found: [found.position, _all(found)],
    Found: lambda found: [found.cursor, found.position, _all(found), _all(found.unknown)],
    Hits: lambda found: [found.position, _all(found)],
    Frame: lambda found: [found.position, found.columns, [_all(found[name]) for name in found.columns]],
    Differences: lambda found: [pack(found.before), pack(found.after), found.position, _all(found)],
    Metadata: lambda found: [found._of, _all(found.values()), list(found)],
    Steps: lambda found: [found._run, _all(found.values())],
    Comparison: lambda found: [_all(found.entities), found.position, _all(sorted(found.parameters)), _all(found.rows)],
    Lineage: lambda found: [_all(found.nodes), _links(found, found.edges), _links(found, found.hops),
                            found.direction, found.cut],
}  # fmt: skip


def _links(found: Any, links: list[Any]) -> list[Any]:
    """Edges or hops with the numbers of their nodes."""
    number = {node: place for place, node in enumerate(found.nodes)}
    return [[number[part] if isinstance(part, Entity) else part for part in link] for link in links]


def _split(node: Any) -> tuple[Any, list[Any]]:
    return node[0], node[1:]


class Unpacker:
    """Reads what `pack` wrote; entities are made by its owner."""

    def __init__(self, entity: EntityMaker) -> None:
        self._entity = entity

    def read(self, node: Any) -> Any:
        """The value of a node. Raises ArgumentError for what `pack` never writes."""
        if not isinstance(node, list):
            return node
        tag, parts = _split(node)
        kind = _KINDS.get(tag)
        if kind is not None:
            # Another version may send fewer fields, or further ones.
            fields = dict(zip(_FIELDS[kind], map(self.read, parts), strict=False))
            try:
                return kind(**fields)
            except TypeError as error:
                raise ArgumentError(f"{tag} with {len(fields)} fields: {error}") from error
        reader = getattr(self, f"_read_{tag.lower()}", None)
        if reader is None:
            raise ArgumentError(f"{tag!r:.80} is nothing that travels: is one side of another version of runlore?")
        return reader(*parts)

    def _all(self, nodes: list[Any]) -> list[Any]:
        return [self.read(node) for node in nodes]

    def _read_value(self, data: bytes) -> Any:
        return decode_value(data)

    def _read_entity(self, row: list[Any], position: int, occurred: int | None, name: str | None) -> Entity:
        return self._entity(row, Moment(position, occurred), name)

    def _read_list(self, *nodes: Any) -> list[Any]:
        return self._all([*nodes])

    def _read_tuple(self, *nodes: Any) -> tuple[Any, ...]:
        return tuple(self._all([*nodes]))

    def _read_dict(self, *pairs: Any) -> dict[Any, Any]:
        return {self.read(key): self.read(value) for key, value in pairs}

    def _read_history(self, position: int, nodes: list[Any]) -> History:
        return History(self._all(nodes), position)

    def _read_found(self, cursor: str | None, position: int, nodes: list[Any], unknown: list[Any]) -> Found:
        return Found(self._all(nodes), cursor, position, self._all(unknown))

    def _read_hits(self, position: int, nodes: list[Any]) -> Hits:
        return Hits(self._all(nodes), position)

    def _read_frame(self, position: int, columns: list[str], values: list[Any]) -> Frame:
        return Frame(dict(zip(columns, map(self._all, values), strict=True)), position)

    def _read_differences(self, before: Any, after: Any, position: int, nodes: list[Any]) -> Differences:
        found = Differences.__new__(Differences)  # making one asks both sides how far they are
        found.extend(self._all(nodes))
        found.before, found.after, found.position = self.read(before), self.read(after), position
        return found

    def _read_metadata(self, of: str, nodes: list[Any], keys: list[str]) -> Metadata:
        return Metadata(dict(zip(keys, self._all(nodes), strict=True)), of)

    def _read_steps(self, run: str, nodes: list[Any]) -> Steps:
        return Steps(self._all(nodes), run)

    def _read_comparison(self, entities: list[Any], position: int, parameters: list[Any], rows: list[Any]) -> Any:
        found = Comparison.__new__(Comparison)
        found.entities, found.position = self._all(entities), position
        found.parameters, found.rows = frozenset(self._all(parameters)), self._all(rows)
        return found

    def _read_lineage(self, nodes: list[Any], edges: list[Any], hops: list[Any], direction: Any, cut: bool) -> Any:
        made = self._all(nodes)
        return Lineage(
            made,
            [Edge(made[source], relation, made[target], position) for source, relation, target, position in edges],
            [Hop(made[start], word, made[end]) for start, word, end in hops],
            direction,
            cut,
        )
