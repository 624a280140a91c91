# pyright: reportUnknownArgumentType=false
# Metadata is whatever callers passed: its static types are unknown by nature.
"""Entries: changes of one entity's metadata, leaf by leaf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

from runlore.projector.fold.rows import REMOVED, ViewRows
from runlore.schemas.paths import PathParts
from runlore.store.cells import Cell, to_cell

FlatKey = tuple[str, tuple[int, ...], Sequence[Cell]]
"""A key, the path IDs of its leaves, and their cells."""


def flatten(rows: ViewRows, metadata: dict[str, Any]) -> list[FlatKey]:
    """The leaves of every key; a dict that is not empty is a group, everything else a leaf."""
    flat: list[FlatKey] = []
    for key, value in metadata.items():
        if type(value) is dict and value:
            flat.append(_flatten_group(rows, key, value))
        else:
            flat.append((key, (rows.key_id(key),), (to_cell(value),)))
    return flat


def _is_group(value: Any) -> TypeGuard[dict[str, Any]]:
    return type(value) is dict and bool(value)


def _flatten_group(rows: ViewRows, key: str, group: dict[str, Any]) -> FlatKey:
    if any(map(_is_group, group.values())):
        leaves = list(_leaves((key,), group))
        ids = tuple([rows.path_id("metadata", parts) for parts, _ in leaves])
        return key, ids, [to_cell(value) for _, value in leaves]
    return key, rows.group_ids((key, *group)), list(map(to_cell, group.values()))


def _leaves(path: PathParts, group: dict[str, Any]) -> Iterator[tuple[PathParts, Any]]:
    for name, value in group.items():
        if _is_group(value):
            yield from _leaves((*path, name), value)
        else:
            yield (*path, name), value


def log(rows: ViewRows, entity_id: int, flat: list[FlatKey], position: int) -> None:
    """Apply `dict.update` at the top level: each key gets its new leaves, and loses those it no longer has."""
    leaves, pending = rows.leaves(entity_id), rows.pending
    add, add_odd = pending.leaves.append, pending.odd_leaves.append
    for key, ids, cells in flat:
        before = leaves.get(key)
        if before != ids:
            if before is not None:
                _remove(rows, entity_id, set(before).difference(ids), position)
            leaves[key] = ids
        for path_id, (kind, value, text) in zip(ids, cells, strict=True):
            # `Pending.add_leaf`, without its call: this runs for every value of every event.
            if text is None and value is not None:
                add((entity_id, path_id, position, kind, value))
            else:
                add_odd((entity_id, path_id, position, kind, value, text))


def _remove(rows: ViewRows, entity_id: int, path_ids: set[int], position: int) -> None:
    for path_id in path_ids:
        rows.pending.add_leaf(entity_id, path_id, position, REMOVED)


def merge(rows: ViewRows, entity_id: int, metadata: dict[str, Any], position: int) -> None:
    """Like `log`, but keep the names of a group that are not given again."""
    leaves = rows.leaves(entity_id)
    for flat in flatten(rows, metadata):
        key, ids, _ = flat
        value = metadata[key]
        before = leaves.get(key, ())
        kept: set[int] = set()
        if type(value) is dict:
            kept = {path_id for path_id in before if _stays(rows.path_parts(path_id), value)}
            if not value and kept:
                continue
        _remove(rows, entity_id, set(before) - kept - set(ids), position)
        # What is kept must not be taken for removed: the key is put aside while the rest is logged.
        leaves.pop(key, None)
        log(rows, entity_id, [flat], position)
        leaves[key] = tuple(sorted({*kept, *ids}))


def _stays(path: PathParts, given: dict[str, Any]) -> bool:
    """Return whether merging these names into a group leaves one of its leaves as it is."""
    return len(path) > 1 and path[1] not in given


def retract(rows: ViewRows, entity_id: int, paths: tuple[tuple[str, ...], ...], reason: str, position: int) -> None:
    """End every live leaf at or below the paths; `reason` becomes the value of the ended row."""
    leaves = rows.leaves(entity_id)
    ended: Cell = ("retracted", reason, None)
    for parts in paths:
        prefix = parts
        if parts[0] not in leaves and ".".join(parts) in leaves:
            prefix = (".".join(parts),)  # a key that holds dots, such as train.loss
        key = prefix[0]
        live = leaves.get(key, ())
        gone = [path_id for path_id in live if rows.path_parts(path_id)[: len(prefix)] == prefix]
        for path_id in gone:
            rows.pending.add_leaf(entity_id, path_id, position, ended)
        left = tuple(path_id for path_id in live if path_id not in gone)
        if left:
            leaves[key] = left
        else:
            leaves.pop(key, None)
