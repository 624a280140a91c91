# pyright: reportUnknownArgumentType=false
# Metadata is whatever callers passed: its static types are unknown by nature.
"""Entries: metadata of one entity changes, leaf by leaf."""

from __future__ import annotations

from typing import Any, TypeGuard

from runlore.projector.fold.rows import REMOVED, Rows
from runlore.schemas.cells import Cell, to_cell
from runlore.schemas.paths import PathParts

FlatKey = tuple[str, tuple[int, ...], list[Cell]]
"""A key, the path IDs of its leaves, and their cells."""


def flatten(rows: Rows, metadata: dict[str, Any]) -> list[FlatKey]:
    """The leaves of every key; a dict that is not empty is a group, everything else a leaf."""
    path_id = rows.path_id
    flat: list[FlatKey] = []
    for key, value in metadata.items():
        if _is_group(value):
            ids: list[int] = []
            cells: list[Cell] = []
            _flatten_group(rows, (key,), value, ids, cells)
            flat.append((key, tuple(ids), cells))
        else:
            flat.append((key, (path_id("metadata", (key,)),), [to_cell(value)]))
    return flat


def _is_group(value: Any) -> TypeGuard[dict[str, Any]]:
    return type(value) is dict and bool(value)


def _flatten_group(rows: Rows, path: PathParts, group: dict[str, Any], ids: list[int], cells: list[Cell]) -> None:
    for name, value in group.items():
        parts = (*path, name)
        if _is_group(value):
            _flatten_group(rows, parts, value, ids, cells)
        else:
            ids.append(rows.path_id("metadata", parts))
            cells.append(to_cell(value))


def log(rows: Rows, entity_id: int, flat: list[FlatKey], position: int) -> None:
    """`dict.update` at the top level: each key gets its new leaves, what it no longer has is removed."""
    leaves, history = rows.leaves(entity_id), rows.history
    for key, ids, cells in flat:
        before = leaves.get(key)
        if before is not None and before != ids:
            for path_id in before:
                history[entity_id, path_id, position] = REMOVED
        for path_id, cell in zip(ids, cells, strict=True):
            history[entity_id, path_id, position] = cell
        leaves[key] = ids


def merge(rows: Rows, entity_id: int, metadata: dict[str, Any], position: int) -> None:
    """Like `log`, but a group's names that are not given again stay."""
    for key, value in metadata.items():
        before = rows.leaves(entity_id).get(key, ())
        kept: tuple[int, ...] = ()
        if type(value) is dict:
            names: set[str] = set(value)
            kept = tuple(
                path_id for path_id in before if len(parts := rows.path_parts(path_id)) > 1 and parts[1] not in names
            )
            if not value and kept:
                continue
        for path_id in before:
            if path_id not in kept:
                rows.history[entity_id, path_id, position] = REMOVED
        # What is kept must not be taken for removed: it is put aside while the rest is logged.
        rows.leaves(entity_id).pop(key, None)
        [(_, ids, _)] = flat = flatten(rows, {key: value})
        log(rows, entity_id, flat, position)
        rows.leaves(entity_id)[key] = tuple(sorted({*kept, *ids}))


def retract(rows: Rows, entity_id: int, paths: tuple[tuple[str, ...], ...], reason: str, position: int) -> None:
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
            rows.history[entity_id, path_id, position] = ended
        left = tuple(path_id for path_id in live if path_id not in gone)
        if left:
            leaves[key] = left
        else:
            leaves.pop(key, None)
