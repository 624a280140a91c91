"""The readable report of a bundle: one HTML file without scripts or links. Every text in it is escaped."""

from __future__ import annotations

import base64
import datetime as dt
import html
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from importlib.resources import files
from string import Template
from typing import Any, cast

import msgspec

from runlore.projector.audit.bundle_content import Bundle, CheckedBundle
from runlore.projector.audit.effect import Verdict
from runlore.projector.audit.key_history import described
from runlore.schemas.codec import decode_event
from runlore.schemas.errors import EventDecodeError
from runlore.schemas.events import Event, event_type
from runlore.schemas.references import EntityRef
from runlore.schemas.visible import visible
from runlore.store.audit.actor_keys import actor_key_in
from runlore.store.audit.leaf import LeafCoder, stream_in
from runlore.store.audit.proof import ProvenEvent
from runlore.store.cells import readable

_NAMES = {"targets": "about"}

_EVENT = Template(
    '<article class="$effect"><header><span class="type">$type</span><span class="who">$who</span>'
    '<time>$time</time><span class="position">#$position</span></header>$label'
    "<table>$rows</table><details><summary>Proof</summary><table>$proof</table></details></article>"
)
_LABEL = Template('<p class="label">$label</p>')
_CLAIM = Template("<li>$text</li>")


def html_report(checked: CheckedBundle) -> str:
    """Return the report on a bundle whose proofs hold. What is not proved is in a section of its own."""
    bundle = checked.bundle
    page = Template(files("runlore.projector.audit").joinpath("report.html").read_text("utf-8"))
    pairs = list(zip(bundle.events, checked.verdicts, strict=True))
    coder, count = LeafCoder(bundle.epoch, stream_in(checked.checkpoint.origin)), len(pairs)
    rejected = sum(verdict.rejection is not None for _, verdict in pairs)
    return page.substitute(
        title=_shown(f"Audit report (title not proved: {', '.join(bundle.about)})"),
        claims=_claims(bundle),
        count=f"{count:,} event{'s' if count != 1 else ''}" + (f", {rejected:,} of them rejected" if rejected else ""),
        summary=_rows(_summary(checked)),
        events="\n".join(_event(event, verdict, coder) for event, verdict in pairs),
        vkey=_shown(checked.verifier.vkey),
    )


def _claims(bundle: Bundle) -> str:
    """Statements by the maker of the bundle."""
    parts = (
        ("Project", [bundle.project]),
        ("Events about", bundle.about),
        ("What belongs to it", bundle.related),
        ("Left out", bundle.left_out),
    )
    return "".join(
        f"<h3>{name}</h3><ul>{''.join(_CLAIM.substitute(text=_shown(text)) for text in texts)}</ul>"
        for name, texts in parts
        if texts
    )


def _summary(checked: CheckedBundle) -> Iterator[tuple[str, str]]:
    checkpoint, since, events = checked.checkpoint, checked.since, checked.bundle.events
    yield "Log", checkpoint.origin
    yield "Checkpoint", f"{checkpoint.size:,} leaves (archived messages and gaps)"
    yield "Root hash", base64.b64encode(checkpoint.root).decode()
    yield "Signed by key", checked.verifier.key_id.hex()
    for change in checked.changes:
        yield "Key replaced", described(change)
    if since is not None:
        yield "Continues", f"the checkpoint of {since.size:,} leaves, by a consistency proof"
    yield "Recorded between", f"{_time(events[0].recorded_ns)} and {_time(events[-1].recorded_ns)}"
    if checked.undeclared:
        yield "WRONG", f"rejected, and presented as in effect: {', '.join(f'#{one:,}' for one in checked.undeclared)}"


def _event(event: ProvenEvent, verdict: Verdict, coder: LeafCoder) -> str:
    kind, who, rows = _told(event, verdict)
    return _EVENT.substitute(
        effect="accepted" if verdict.rejection is None else "rejected",
        label="" if verdict.rejection is None else _LABEL.substitute(label=_shown(verdict.label)),
        type=_shown(kind.replace("_", " ")),
        who=_shown(who),
        time=_time(event.recorded_ns),
        position=f"{event.position:,}",
        rows=_rows(rows),
        proof=_rows(_proof(event, coder), "hash"),
    )


def _proof(event: ProvenEvent, coder: LeafCoder) -> Iterator[tuple[str, str]]:
    yield "Event ID", event.event_id or "none"
    yield "Subject", event.subject
    yield "Leaf", f"{event.index:,}"
    yield "Leaf hash", event.leaf(coder).hex()
    yield "Payload SHA-256", sha256(event.payload).hexdigest()
    if event.logged_hash is not None:
        yield f"As logged; values were erased by #{event.erasure:,}", event.logged_hash.hex()
    for level, one in enumerate(event.proof):
        yield f"Sibling {level + 1}", one.hex()


def _told(event: ProvenEvent, verdict: Verdict) -> tuple[str, str, Iterable[tuple[str, str]]]:
    """Return the kind of event, its author, and its content as names and readable values."""
    if (stated := actor_key_in(event.subject, event.payload)) is not None:
        rows = [("actor", stated.actor), ("public key", stated.key), ("reason", stated.reason)]
        return f"key {stated.state}", "stated in the log", rows
    try:
        decoded = decode_event(event.payload)
    except EventDecodeError as error:
        return "not readable", "unknown", [("Why", str(error)), ("Bytes", event.payload[:200].hex())]
    actor = decoded.actor
    return event_type(decoded.fact), f"by {actor.user}@{actor.host} ({verdict.who})", _content(decoded)


def _content(event: Event) -> Iterator[tuple[str, str]]:
    if event.run:
        yield "in", f"run {event.run}" + (f", step {event.step}" if event.step else "")
    for field in _fields(type(event.fact)):
        value = getattr(event.fact, field.name)
        if value is None or value == field.default:
            continue
        if isinstance(value, dict):
            yield from _leaves("", cast(dict[str, Any], value))
        else:
            yield _NAMES.get(field.name, field.name), _text(value)


_fields = cache(msgspec.structs.fields)


def _leaves(prefix: str, group: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in group.items():
        if isinstance(value, dict) and value:
            yield from _leaves(f"{prefix}{key}.", cast(dict[str, Any], value))
        else:
            yield f"{prefix}{key}", readable(value)


def _text(value: Any, joint: str = ", ") -> str:
    """A field of a fact: text, a reference, or a tuple of them; paths are tuples in a tuple."""
    if isinstance(value, tuple):
        items = cast(tuple[object, ...], value)
        return joint.join(_text(item, ".") for item in items)
    return str(value) if isinstance(value, (str, EntityRef)) else readable(value)


def _rows(rows: Iterable[tuple[str, str]], kind: str = "value") -> str:
    return "".join([f'<tr><th>{_shown(name)}</th><td class="{kind}">{_shown(value)}</td></tr>' for name, value in rows])


def _shown(text: str) -> str:
    """A text of the log in a page: escaped, and without characters that hide or turn others."""
    return html.escape(visible(text, lines=True))


def _time(ns: int) -> str:
    return f"{dt.datetime.fromtimestamp(ns / 1e9, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
