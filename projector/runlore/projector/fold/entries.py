# pyright: reportUnknownArgumentType=false
# Metadata is whatever callers passed: its static types are unknown by nature.
"""Entries: changes of one entity's metadata, leaf by leaf."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeGuard

from runlore.projector.fold.pending import OddCell, PlainCell
from runlore.projector.fold.rows import REMOVED, ViewRows
from runlore.schemas.paths import PathParts
from runlore.store.cells import reason_cell, to_cell


class Flat(NamedTuple):
    """Metadata as it is written, but for entity and position."""

    keys: dict[str, tuple[int, ...]]
    """The path IDs of the leaves of each key."""
    plain: list[PlainCell]
    odd: list[OddCell]


def flatten(rows: ViewRows, metadata: dict[str, Any]) -> Flat:
    """The leaves of every key; a dict that is not empty is a group, everything else a leaf."""
    keys: dict[str, tuple[int, ...]] = {}
    plain: list[PlainCell] = []
    odd: list[OddCell] = []
    known = rows.key_ids
    ids: list[int] = []
    values: list[Any] = []
    # Written for speed, like all that runs for every value of every event.
    for key, value in metadata.items():
        if type(value) is dict and value:
            found, inside = _group(rows, key, value)
            values += inside
        else:
            found = known[key] if key in known else rows.key_id(key)
            values.append(value)
        keys[key] = found
        ids += found
    for path_id, (kind, value, text) in zip(ids, map(to_cell, values), strict=True):
        if text is None and value is not None:
            plain.append((path_id, kind, value))
        else:
            odd.append((path_id, kind, value, text))
    return Flat(keys, plain, odd)


def _is_group(value: Any) -> TypeGuard[dict[str, Any]]:
    return type(value) is dict and bool(value)


def _group(rows: ViewRows, key: str, group: dict[str, Any]) -> tuple[tuple[int, ...], list[Any]]:
    """Path IDs and values of a group's leaves."""
    inside = list(group.values())
    if dict not in map(type, inside):
        return rows.group_ids((key, *group)), inside
    leaves = list(_leaves((key,), group))
    return tuple([rows.path_id("metadata", parts) for parts, _ in leaves]), [value for _, value in leaves]


def _leaves(path: PathParts, group: dict[str, Any]) -> Iterator[tuple[PathParts, Any]]:
    for name, value in group.items():
        if _is_group(value):
            yield from _leaves((*path, name), value)
        else:
            yield (*path, name), value


def log(rows: ViewRows, entity_id: int, flat: Flat, position: int) -> None:
    """Apply `dict.update` at the top level: each key gets its new leaves, and loses those it no longer has."""
    leaves = rows.leaves(entity_id)
    if leaves != flat.keys:  # most calls log the keys of the last one
        for key, ids in flat.keys.items():
            before = leaves.get(key, ids)
            if before != ids:
                _remove(rows, entity_id, set(before).difference(ids), position)
            leaves[key] = ids
    rows.pending.add_leaves(entity_id, position, flat.plain, flat.odd)


def _remove(rows: ViewRows, entity_id: int, path_ids: set[int], position: int) -> None:
    for path_id in path_ids:
        rows.pending.add_leaf(entity_id, path_id, position, REMOVED)


def merge(rows: ViewRows, entity_id: int, metadata: dict[str, Any], position: int) -> None:
    """Like `log`, but keep the names of a group that are not given again."""
    leaves = rows.leaves(entity_id)
    for key, value in metadata.items():
        flat = flatten(rows, {key: value})
        ids = flat.keys[key]
        before = leaves.get(key, ())
        kept: set[int] = set()
        if type(value) is dict:
            kept = {path_id for path_id in before if _stays(rows.path_parts(path_id), value)}
            if not value and kept:
                continue
        _remove(rows, entity_id, set(before) - kept - set(ids), position)
        # What is kept must not be taken for removed: the key is put aside while the rest is logged.
        leaves.pop(key, None)
        log(rows, entity_id, flat, position)
        leaves[key] = tuple(sorted({*kept, *ids}))


def _stays(path: PathParts, given: dict[str, Any]) -> bool:
    """Return whether merging these names into a group leaves one of its leaves as it is."""
    return len(path) > 1 and path[1] not in given


def retract(rows: ViewRows, entity_id: int, paths: tuple[tuple[str, ...], ...], reason: str, position: int) -> None:
    """End every live leaf at or below the paths; `reason` becomes the value of the ended row."""
    leaves = rows.leaves(entity_id)
    ended = reason_cell(reason)
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
