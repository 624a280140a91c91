"""Retention in a data folder: making and ending rules and holds, and carrying the rules out."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from runlore.projector.audit.opening import open_audited
from runlore.projector.erasures.erase import ErasingFolder
from runlore.projector.erasures.holds import Kept
from runlore.projector.erasures.plan import plan_erasure
from runlore.projector.erasures.rules import Due, due
from runlore.schemas.errors import ArgumentError, NotFoundError
from runlore.store.audit.retention import Retention, read_retention
from runlore.store.records import Erasing


class Carried(NamedTuple):
    """What a rule erased, or would erase."""

    name: str
    result: Erasing
    kept: list[Kept]

    def record(self) -> dict[str, Any]:
        """As JSON."""
        kept = [{"position": one.wanted.position, "hold": one.hold.retention.name} for one in self.kept]
        return {"rule": self.name, "erasing": self.result, "kept": kept}


def change_retention(folder: ErasingFolder, statement: Retention, timeout: float) -> None:
    """Put a statement into the log, and wait until it is there.

    Raises ArgumentError for a name that was used before, NotFoundError for one to end that is not in force.
    """
    with folder.locked():
        _require_name(folder, statement)
        note = statement.signed(folder.signer())
        folder.leave(folder.data.retention, note, lambda: _is_logged(folder, note), timeout)


def run_rules(folder: ErasingFolder, who: str, timeout: float, *, dry_run: bool) -> list[Carried]:
    """Carry out all rules, or only say what that comes to. Raises as `ErasingFolder.erase`."""
    with contextlib.nullcontext() if dry_run else folder.locked():
        rules, holds = folder.in_force()
        with folder.sources() as sources:
            found = list(due(sources, rules, holds))  # before anything changes: what a dry run lists is erased
        return [_carried(folder, one, who, timeout, dry_run) for one in found]


def _carried(folder: ErasingFolder, one: Due, who: str, timeout: float, dry_run: bool) -> Carried:
    with folder.sources() as sources:  # the rule before may have changed the same events
        plan = plan_erasure(sources, one.wanted, one.reason)
    erased = bool(plan.events) and not dry_run
    if erased:
        folder.carry_out(plan, one.reason, who, timeout)
    return Carried(one.rule.retention.name, folder.result(plan, erased=erased), one.kept)


def _require_name(folder: ErasingFolder, statement: Retention) -> None:
    with contextlib.closing(open_audited(folder.data.log)) as log:
        used = {logged.retention.name for logged in read_retention(log)}
    found = folder.in_force()
    match statement.act:
        case "add" | "hold":
            if statement.name in used:
                raise ArgumentError(
                    f"the name {statement.name!r} was used before, and each means one rule or hold for good"
                )
        case "remove":
            if statement.name not in found.rules:
                raise NotFoundError(f"there is no rule {statement.name!r}; `runlore retention list` shows them")
        case "release":
            if statement.name not in found.holds:
                raise NotFoundError(f"there is no hold {statement.name!r}; `runlore retention list` shows them")


def _is_logged(folder: ErasingFolder, note: str) -> bool:
    with contextlib.closing(open_audited(folder.data.log)) as log:
        return any(logged.note == note for logged in read_retention(log))
