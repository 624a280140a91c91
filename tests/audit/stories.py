"""A folder whose log holds a model, what made and replaced it, and events about it that were rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.views.rebuild import rebuild_view
from runlore.schemas import (
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    EntityRef,
    MetadataLogged,
    MetadataRetracted,
    ModelStageChanged,
    ModelVersionCreated,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from tests.events import EPOCH, LogBuilder

MODEL = EntityRef("model", "churn", "1")
SUBJECT = "runlore.default.model.churn.1"

APPROVAL = 7
"""The event that says `approved=False`."""
FORGED, COPY, FOREIGN, RENAMED, BROKEN, LIMIT, REFUSED, NAMELESS = range(14, 22)
LAST = NAMELESS


def the_work(log: LogBuilder) -> None:
    """Thirteen events: a run makes a model from data; another version takes its stage; the data had a maker, too."""
    log.add(StepStarted(), run="r0", step="load")
    log.add(ArtifactVersionProduced(EntityRef("artifact", "rows")), run="r0", step="load")
    log.add(RunStarted("train", "nightly", EntityRef("model", "churn")), run="r1")
    log.add(StepStarted(), run="r1", step="fit")
    log.add(ArtifactVersionConsumed(EntityRef("artifact", "rows")), run="r1", step="fit")
    log.log("model:churn@1", {"accuracy": 0.9})
    log.log("model:churn@1", {"approved": False})
    log.add(StepFinished("completed"), run="r1", step="fit")
    log.add(RunFinished("completed"), run="r1")
    log.add(ModelStageChanged(MODEL, "production"))
    log.add(ModelVersionCreated(EntityRef("model", "churn", "2")))
    log.add(ModelStageChanged(EntityRef("model", "churn", "2"), "production"))
    log.log("artifact:other@1", {"unrelated": True})


def the_rejected(log: LogBuilder) -> None:
    """One event for each rule, in the order of the constants above."""
    approval = log.rows[APPROVAL - 1]
    elsewhere = LogBuilder(first=log.next)
    elsewhere.log("model:churn@1", {"approved": True}, id=approval.event_id)
    forged = elsewhere.rows[0]
    log.add_raw(forged.payload, approval.event_id, APPROVAL)
    log.add_raw(approval.payload, approval.event_id, APPROVAL)
    log.log("model:churn@1", {"approved": "elsewhere"}, project="other")
    log.add_raw(forged.payload, "another ID")
    log.add_raw(b"\xc1", "broken")
    log.add(MetadataLogged((MODEL,), {"deep": _deep(40)}))
    log.add(MetadataRetracted((EntityRef("model", "never", "9"),), (("approved",),), "why"))
    log.add_raw(forged.payload, None)
    for at in range(FORGED - 1, LAST):
        log.rows[at] = log.rows[at]._replace(subject=SUBJECT)
    log.rows[COPY - 1] = log.rows[COPY - 1]._replace(subject=approval.subject)


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def make_story(root: Path) -> DataDir:
    """A signed log and its view."""
    log = LogBuilder()
    the_work(log)
    the_rejected(log)
    data = DataDir(root)
    data.log.parent.mkdir(parents=True)
    archive = Archive.open(data.log, EPOCH)
    archive.append([Received(*row[:4], b"", row.payload) for row in log.rows])
    CheckpointWriter(archive, data.checkpoint_key).sign()
    archive.close()
    rebuild_view(data)
    return data
