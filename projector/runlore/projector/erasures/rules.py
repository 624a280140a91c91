"""Retention rules: the content that is older than a rule allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from runlore.projector.erasures.candidates import About, fields_of, quarantined
from runlore.projector.erasures.holds import Kept, kept, rule_of
from runlore.projector.erasures.plan import Sources, Wanted, wanted_at, wanted_in
from runlore.projector.erasures.selection import Selection
from runlore.schemas.errors import NotFoundError
from runlore.store.audit.retention import LoggedRetention, Rule

_CLOCK = "SELECT recorded_us FROM view_state"
_LAST = "SELECT max(position) FROM events WHERE recorded_us <= ?"
_ENTITIES = "SELECT entity_id FROM entities WHERE project = ? AND (kind = ?2 OR ?2 IS NULL) ORDER BY entity_id"


class Due(NamedTuple):
    """What one rule would erase, and what holds keep from it."""

    rule: LoggedRetention
    wanted: list[Wanted]
    kept: list[Kept]

    @property
    def reason(self) -> str:
        """What takes the content's place."""
        return f"retention rule {self.rule.retention.name}: {self.rule.retention.reason}"


def due(sources: Sources, rules: Mapping[str, LoggedRetention], holds: Mapping[str, LoggedRetention]) -> Iterator[Due]:
    """What each rule would erase now, in the order of their names; what an earlier one erases is not named again."""
    taken: dict[int, set[tuple[str, ...]]] = {}
    for _, logged in sorted(rules.items()):
        found = list(_fresh(sorted(_wanted(sources, rule_of(logged))), taken))
        held = list(kept(found, holds))
        stays = {one.wanted.position for one in held}
        free = [one for one in found if one.position not in stays]
        for one in free:
            taken.setdefault(one.position, set()).update(one.paths)
        yield Due(logged, free, held)


def _fresh(wanted: list[Wanted], taken: Mapping[int, set[tuple[str, ...]]]) -> Iterator[Wanted]:
    for one in wanted:
        paths = tuple(path for path in one.paths if path not in taken.get(one.position, ()))
        if paths:
            yield one._replace(paths=paths)


def _wanted(sources: Sources, rule: Rule) -> Iterator[Wanted]:
    (clock,) = sources.view.execute(_CLOCK).fetchone()
    until_us = clock - rule.older_than * 1_000_000
    selection = Selection.of(rule.what, patterns=rule.keys)
    (last,) = sources.view.execute(_LAST, (until_us,)).fetchone()
    if last is not None:
        ids = [row[0] for row in sources.view.execute(_ENTITIES, (rule.project, rule.kind))]
        yield from wanted_in(sources, fields_of(sources.view, ids, last), selection)
    if selection.everything:
        for position in quarantined(sources.view, until_us):
            yield from (one for one in _if_any(sources, position) if any(_is_meant(named, rule) for named in one.about))


def _is_meant(entity: About, rule: Rule) -> bool:
    return entity.project == rule.project and (rule.kind is None or entity.reference.startswith(f"{rule.kind}:"))


def _if_any(sources: Sources, position: int) -> list[Wanted]:
    try:
        return wanted_at(sources, position)
    except NotFoundError:
        return []  # it is erased already
