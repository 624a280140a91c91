"""What a quarantined event may be about: a hold keeps it, and a rule means it, by all that it names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from urllib.parse import unquote

from runlore.projector.erasures.candidates import About
from runlore.schemas.codec import decode_event
from runlore.schemas.errors import EventDecodeError
from runlore.schemas.references import EntityRef


def named_in(subject: str, payload: bytes) -> Iterator[About]:
    """The entity of the subject, and those that the payload names if it can be decoded."""
    yield from _of_subject(subject)
    with contextlib.suppress(EventDecodeError):
        event = decode_event(payload)
        fact = event.fact
        refs = [*getattr(fact, "targets", ()), *(getattr(fact, name, None) for name in ("model", "artifact"))]
        if event.run is not None:
            refs.append(EntityRef("run", event.run))
            refs.append(EntityRef("step", event.step, run=event.run) if event.step is not None else None)
        yield from (About(str(ref), event.project) for ref in refs if ref is not None)


def _of_subject(subject: str) -> Iterator[About]:
    with contextlib.suppress(UnicodeDecodeError):
        tokens = [unquote(token, errors="strict") for token in subject.split(".")]
        if len(tokens) >= 4:
            _, project, kind, name, *rest = tokens
            joined = "/" if kind == "step" else "@"
            yield About(f"{kind}:{name}{joined}{rest[0]}" if rest else f"{kind}:{name}", project)
