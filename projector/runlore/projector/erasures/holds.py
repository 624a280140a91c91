"""Rules and legal holds in force, and what a hold keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from runlore.projector.audit.key_history import TrustedRange, is_signed
from runlore.projector.erasures.plan import Wanted
from runlore.projector.erasures.selection import Selection
from runlore.schemas.errors import HeldError
from runlore.schemas.redaction import WHOLE
from runlore.store.audit.retention import Hold, LoggedRetention, Rule, read_retention
from runlore.store.audit.tree import leaf_index
from runlore.store.sqlite import sqlite


class InForce(NamedTuple):
    """The rules and holds of a log by name, each with the statement that made it."""

    rules: dict[str, LoggedRetention]
    holds: dict[str, LoggedRetention]


class Kept(NamedTuple):
    """An event that a hold keeps."""

    hold: LoggedRetention
    wanted: Wanted

    def __str__(self) -> str:
        name, reason, who = self.hold.retention.name, self.hold.retention.reason, self.hold.retention.who
        return f"event {self.wanted.position:,} is under the legal hold {name!r} ({reason}; {who})"


def in_force(log: sqlite.Connection, keys: Sequence[TrustedRange]) -> InForce:
    """What the statements of a log that a trusted key has signed come to. `log`: an audited log."""
    found = InForce({}, {})
    for logged in read_retention(log):
        if not is_signed(logged, leaf_index(log, logged.position), keys):
            continue
        name = logged.retention.name
        match logged.retention.act:
            case "add":
                found.rules[name] = logged
            case "remove":
                found.rules.pop(name, None)
            case "hold":
                found.holds[name] = logged
            case "release":
                found.holds.pop(name, None)
    return found


def rule_of(logged: LoggedRetention) -> Rule:
    """The rule of a statement that adds one."""
    assert isinstance(logged.retention.body, Rule)
    return logged.retention.body


def hold_of(logged: LoggedRetention) -> Hold:
    """The hold of a statement that makes one."""
    assert isinstance(logged.retention.body, Hold)
    return logged.retention.body


def kept(wanted: Iterable[Wanted], holds: Mapping[str, LoggedRetention]) -> Iterator[Kept]:
    """Those of the events of which a hold keeps something: all of such an event is kept."""
    for one in wanted:
        hold = next((logged for logged in holds.values() if _keeps(hold_of(logged), one)), None)
        if hold is not None:
            yield Kept(hold, one)


def require_not_held(wanted: Iterable[Wanted], holds: Mapping[str, LoggedRetention]) -> None:
    """Raise HeldError naming the hold."""
    found = list(kept(wanted, holds))
    if found:
        more = f", and {len(found) - 1:,} more events are under one" if len(found) > 1 else ""
        raise HeldError(f"{found[0]}{more}: nothing was erased. `runlore retention release` ends a hold")


def _keeps(hold: Hold, wanted: Wanted) -> bool:
    if not any(one.project == hold.project and _names(hold.entities, one.reference) for one in wanted.about):
        return False
    keys = Selection(patterns=hold.keys)
    return not hold.keys or any(path == WHOLE or keys.has(path) for path in wanted.paths)


def _names(pattern: str, reference: str) -> bool:
    """Return whether a reference, or a pattern of them, means an entity: its versions, and the steps of a run, too."""
    patterns = [pattern, f"{pattern}@*"]
    if pattern.startswith("run:"):
        patterns.append(f"step:{pattern[4:]}/*")
    return reference == pattern or any(fnmatchcase(reference, one) for one in patterns)
