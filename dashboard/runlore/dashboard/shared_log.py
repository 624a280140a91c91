"""Parts of the log as a whole, as far as a visitor who sees some projects may see them.

One log has the events of all projects. An event belongs to the project that its subject names: its payload may not be
readable, or may name another project than it was sent under; then neither sees it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runlore.dashboard.visit import Visit
from runlore.query.evidence import AuditState, LoggedEvent
from runlore.schemas.errors import NotFoundError
from runlore.store.records import ProjectorStatus


def logged_event(visit: Visit, position: int) -> LoggedEvent:
    """Return an archived event. Raises NotFoundError, also for one of a project that the visitor does not see."""
    found = visit.client.logged_event(position)
    named = found.event is None or visit.access.sees(found.event.project)
    if not visit.access.whole and not (named and _sees_subject(visit, found.subject)):
        raise NotFoundError(f"no event {position:,} in the projects that your token shows")
    return found


def quarantine(visit: Visit, limit: int, now: bool = False) -> list[dict[str, Any]]:
    """Return quarantined events, newest first; `now`: of the latest state."""
    client = visit.now if now else visit.client
    if visit.access.projects is None:
        return client.quarantine(limit)
    return client.quarantine(limit, [_subjects_of(visit, project) for project in visit.access.projects])


def count_quarantined(visit: Visit, most: int) -> int:
    """Return the number of quarantined events, counted up to `most`."""
    if visit.access.projects is None:
        return visit.client.quarantined(most)
    return len(quarantine(visit, most))


def producers(visit: Visit) -> list[dict[str, Any]]:
    """Return the producers and their missing events; none to who does not see all projects: they belong to no one."""
    return visit.now.producers() if visit.access.whole else []


def projector_status(visit: Visit, status: ProjectorStatus | None) -> ProjectorStatus | None:
    """Return the status of the projector, which names files and problems, to who sees all."""
    return status if visit.access.whole else None


def audit_state(visit: Visit) -> AuditState:
    """Return the state of the audit; what was found at the last verification may be about any project.

    Raises NotFoundError.
    """
    state = visit.now.audit_state()
    return state if visit.access.whole else msgspec.structs.replace(state, verify=None)


def _sees_subject(visit: Visit, subject: str) -> bool:
    return any(subject.startswith(_subjects_of(visit, project)) for project in visit.access.projects or ())


def _subjects_of(visit: Visit, project: str) -> str:
    return visit.client.scope.reader.shard.project_prefix(project)
