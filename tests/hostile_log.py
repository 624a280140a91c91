"""A log whose every text tries to act on who looks at it: terminal escapes, bidi controls, markup of HTML and of rich."""

from __future__ import annotations

from typing import Any

from runlore.schemas import (
    Actor,
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    EntityRef,
    MetadataLogged,
    MetadataRetracted,
    ModelStageChanged,
    NoteAdded,
    Path,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    Uri,
)
from runlore.schemas.values import pack_metadata
from runlore.schemas.visible import HIDDEN_IN_LINES, visible
from tests.events import LogBuilder

MARKUP = "[/bold][link=x]m[/link]<b>"
NAME = f"\x9b2J\u202egnp\u2066\u200b\U000e0001{MARKUP}"
"""Names may hold C1 and bidi controls, no others."""
TEXT = f"\x1b[38;5;196mred\x1b]0;title\x07\r\x00\x7f{NAME}\n\ttail"

MODEL, ARTIFACT = EntityRef("model", NAME, "1"), EntityRef("artifact", NAME, "1")
RUN, STEP = f"run{NAME}", f"step{NAME}"
ACTOR = Actor(TEXT, TEXT, 7, TEXT)
VALUES: dict[str, Any] = {
    TEXT: TEXT,
    "uri": Uri(f"https://x.test/{TEXT}"),
    "path": Path(TEXT),
    "list": [TEXT, {TEXT: TEXT}],
    "set": {TEXT, NAME},
    "group": {TEXT: {NAME: TEXT}, "number": 1},
    "number": 1.5,
}


def write_hostile_texts(log: LogBuilder) -> None:
    """Every fact, with such texts in every field that takes them; and what is quarantined because of them."""
    who: dict[str, Any] = {"actor": ACTOR, "producer_id": NAME, "traceparent": TEXT, "causation_id": TEXT}
    place = {"run": RUN, "step": STEP, **who}
    log.add(RunStarted(f"pipeline{NAME}", TEXT, EntityRef("model", NAME), pack_metadata(VALUES)), run=RUN, **who)
    log.add(StepStarted(None, pack_metadata({TEXT: TEXT})), **place)
    log.add(ArtifactVersionProduced(ARTIFACT, TEXT), **place)
    log.add(ArtifactVersionConsumed(ARTIFACT), **place)
    for version, number in (("1", 1.5), ("2", 2.5)):
        targets = (EntityRef("model", NAME, version), EntityRef("artifact", NAME, version))
        log.add(MetadataLogged(targets, pack_metadata({**VALUES, "number": number, "gone": TEXT})), **place)
    log.add(MetadataRetracted((MODEL, ARTIFACT), (("gone",),), TEXT), **who)
    log.add(ModelStageChanged(MODEL, f"stage{NAME}", TEXT), **who)
    log.add(NoteAdded((MODEL, EntityRef("run", RUN)), TEXT), **who)
    log.add(StepFinished("failed", TEXT, TEXT), **place)
    log.add(RunFinished("failed", TEXT, TEXT), run=RUN, **who)
    log.add(MetadataLogged((EntityRef("step", NAME, pipeline=NAME),), pack_metadata({TEXT: TEXT})), **who)
    log.add(MetadataLogged((EntityRef("data", TEXT),), pack_metadata({TEXT: TEXT})), **who)
    log.add_raw(b"\xc1" + TEXT.encode(), TEXT)


def acts(output: str) -> list[str]:
    """Where an output holds a character that acts or hides, with what is around it."""
    return [ascii(output[max(0, found.start() - 60) : found.end() + 20]) for found in HIDDEN_IN_LINES.finditer(output)]


def shown(text: str) -> str:
    """A text as every output may show it."""
    return visible(text)
