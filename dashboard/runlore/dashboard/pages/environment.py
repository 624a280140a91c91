"""A run's environment on its page: a line to read, and everything behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

from runlore.dashboard.display import Shown, show
from runlore.schemas.visible import visible

_COMMIT = 8

Group = Mapping[Any, Any]


class Environment(NamedTuple):
    """The environment of a run; what was recorded may be anything that a program passed."""

    summary: str
    cards: list[tuple[str, list[tuple[str, Shown]]]]


def environment_of(found: Any) -> Environment | None:
    """Return what to show; None where nothing was recorded."""
    if not _is_group(found):
        return None
    values = {str(key): value for key, value in found.items()}
    groups = {key: value for key, value in values.items() if _is_group(value)}
    plain = {key: value for key, value in values.items() if key not in groups}
    cards = [("general", _lines(plain))] if plain else []
    cards += [(visible(title), _lines(group)) for title, group in groups.items()]
    return Environment(visible(_summary(plain, groups)), cards)


def _is_group(value: Any) -> TypeGuard[Group]:
    return isinstance(value, Mapping) and value != {}


def _lines(values: Group) -> list[tuple[str, Shown]]:
    return [(str(key), show(value)) for key, value in values.items()]


def _summary(plain: Mapping[str, Any], groups: Mapping[str, Group]) -> str:
    git = groups.get("git", {})
    changed = ", changed since" if git.get("dirty") is True else ""
    commit = f"{str(git['commit'])[:_COMMIT]}{changed}" if "commit" in git else ""
    python = f"Python {plain['python']}" if "python" in plain else ""
    packages = f"{len(groups['packages']):,} packages" if "packages" in groups else ""
    return " · ".join(filter(None, (commit, python, packages)))
