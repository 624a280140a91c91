"""What reads must say, in plain Python dicts: a second, naive reading of the log that shares no code with the fold."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]
Change = tuple[str, Any]
"""``("set", value)``, ``("removed", None)`` or ``("retracted", reason)``."""


def leaves(value: Any, path: Path = ()) -> dict[Path, Any]:
    """The leaves of nested dicts; an empty dict is a leaf."""
    if isinstance(value, dict) and (value or not path):
        return {leaf: item for key, inner in value.items() for leaf, item in leaves(inner, (*path, key)).items()}
    return {path: value}


def subtree(metadata: dict[str, Any], path: Path) -> Any:
    """The value at a path; KeyError where there is none."""
    found: Any = metadata
    for name in path:
        if not isinstance(found, dict):
            raise KeyError(path)
        found = found[name]
    return found


@dataclass
class ModelEntity:
    """One entity: its metadata and fields after each event that touched it."""

    created: int
    metadata: dict[str, Any] = field(default_factory=dict)
    past: list[tuple[int, dict[Path, Change], dict[str, Any]]] = field(default_factory=list)
    """Position, what changed, and the whole metadata then."""
    notes: list[tuple[int, str]] = field(default_factory=list)
    stages: list[tuple[int, str]] = field(default_factory=list)

    def log(self, position: int, given: dict[str, Any], merge: bool) -> None:
        after, touched = dict(self.metadata), dict(given)
        for key, value in given.items():
            old = self.metadata.get(key)
            if merge and isinstance(old, dict) and old and isinstance(value, dict):
                after[key] = {**old, **value}
                if not value:
                    del touched[key]
            else:
                after[key] = value
        gone = {path for path in leaves(self.metadata) if path[0] in touched} - set(leaves(after))
        changes: dict[Path, Change] = dict.fromkeys(gone, ("removed", None))
        changes |= {path: ("set", value) for path, value in leaves(touched).items()}
        self._became(position, changes, after)

    def retract(self, position: int, paths: list[Path], reason: str) -> None:
        after, changes = copy.deepcopy(self.metadata), dict[Path, Change]()
        for wanted in paths:
            for leaf in leaves(after):
                if leaf[: len(wanted)] == wanted:
                    changes[leaf] = ("retracted", reason)
                    _remove(after, leaf)
        self._became(position, changes, after)

    def _became(self, position: int, changes: dict[Path, Change], after: dict[str, Any]) -> None:
        self.metadata = after
        if changes:
            self.past.append((position, changes, after))

    # -- what reads must say -------------------------------------------------------------------------

    def at(self, position: int) -> dict[str, Any]:
        return next((after for when, _, after in reversed(self.past) if when <= position), {})

    def history(self, path: Path, position: int) -> list[tuple[int, Change]]:
        """Each position that changed something at or below a path, and what the path was then."""
        found: list[tuple[int, Change]] = []
        for when, changes, after in self.past:
            below = [change for leaf, change in changes.items() if leaf[: len(path)] == path]
            if when > position or not below:
                continue
            try:
                found.append((when, ("set", subtree(after, path))))
            except KeyError:
                retracted = [change for change in below if change[0] == "retracted"]
                found.append((when, (retracted or below)[-1]))
        return found

    def blame(self, position: int) -> dict[Path, tuple[int, Change]]:
        """The last change of every leaf that ever was."""
        found: dict[Path, tuple[int, Change]] = {}
        for when, changes, _ in self.past:
            if when <= position:
                found |= {leaf: (when, change) for leaf, change in changes.items()}
        return found

    def known(self, seen: set[int]) -> bool:
        """Whether any of the events seen says something about it."""
        positions = [self.created, *(entry[0] for entry in (*self.past, *self.notes, *self.stages))]
        return bool(seen.intersection(positions))

    def leaves_of(self, seen: set[int]) -> dict[Path, Any]:
        """The last value of each leaf among the events seen; of a leaf and one below it, the later one."""
        last: dict[Path, tuple[int, Change]] = {}
        for when, changes, _ in self.past:
            if when in seen:
                last |= {leaf: (when, change) for leaf, change in changes.items()}
        found: dict[Path, Any] = {}
        for leaf, (_, (kind, value)) in sorted(last.items(), key=lambda item: -item[1][0]):
            inside = any(leaf[: len(other)] == other or other[: len(leaf)] == leaf for other in found)
            if kind == "set" and not inside:
                found[leaf] = value
        return found

    def paths(self) -> set[Path]:
        """Every leaf that ever was, and every group above one."""
        return {leaf[:size] for _, changes, _ in self.past for leaf in changes for size in range(1, len(leaf) + 1)}


def _remove(tree: dict[str, Any], leaf: Path) -> None:
    """Take a leaf out, and the groups that are empty then."""
    name, rest = leaf[0], leaf[1:]
    if rest:
        _remove(tree[name], rest)
    if not rest or not tree[name]:
        del tree[name]


class Model:
    """Entities by reference, all with explicit versions."""

    def __init__(self) -> None:
        self.entities: dict[str, ModelEntity] = {}
        self.position = 0
        self.occurred: dict[int, int] = {}
        """When each event occurred, by its position."""

    def entity(self, reference: str) -> ModelEntity:
        return self.entities.setdefault(reference, ModelEntity(self.position))

    def log(self, references: list[str], given: dict[str, Any], merge: bool) -> None:
        for reference in dict.fromkeys(references):
            self.entity(reference).log(self.position, given, merge)

    def retract(self, references: list[str], paths: list[Path], reason: str) -> None:
        if not all(reference in self.entities for reference in references):
            return  # as a whole: it contradicts the log
        for reference in dict.fromkeys(references):
            self.entity(reference).retract(self.position, paths, reason)

    def note(self, reference: str, text: str) -> None:
        self.entity(reference).notes.append((self.position, text))

    def stage(self, reference: str, stage: str) -> None:
        """A stage is held by one version of a model; who held it before becomes archived."""
        taken = self.entity(reference)
        if stage != "archived":
            for other in self.holders(reference.partition("@")[0], stage, self.position):
                if self.entities[other] is not taken:
                    self.entities[other].stages.append((self.position, "archived"))
        taken.stages.append((self.position, stage))

    def holders(self, name: str, stage: str, position: int) -> list[str]:
        """The versions of a name that are in a stage at a position."""
        found: list[str] = []
        for reference, entity in self.entities.items():
            held = [value for when, value in entity.stages if when <= position]
            if reference.startswith(f"{name}@") and held and held[-1] == stage:
                found.append(reference)
        return found
