"""A run's environment on its page: a line to read, and everything behind it."""

from __future__ import annotations

from typing import Any, NamedTuple

from runlore.dashboard.display import Shown, show
from runlore.query.page.environment import Group, environment_line, is_group
from runlore.schemas.visible import visible


class Environment(NamedTuple):
    """The environment of a run, ready to be shown."""

    summary: str
    cards: list[tuple[str, list[tuple[str, Shown]]]]


def environment_of(found: Any) -> Environment | None:
    """Return what to show; None where nothing was recorded."""
    if not is_group(found):
        return None
    values = {str(key): value for key, value in found.items()}
    groups = {key: value for key, value in values.items() if is_group(value)}
    plain = {key: value for key, value in values.items() if key not in groups}
    cards = [("general", _lines(plain))] if plain else []
    cards += [(visible(title), _lines(group)) for title, group in groups.items()]
    return Environment(visible(environment_line(found)), cards)


def _lines(values: Group) -> list[tuple[str, Shown]]:
    return [(str(key), show(value)) for key, value in values.items()]
