"""A Hugging Face model card: YAML front matter with the metrics, then Markdown that people read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from runlore.integrations.exports.subject import Subject, text_of
from runlore.query import Entity, Entry
from runlore.schemas import visible

MAX_CELL = 300
"""Characters of a value in a table."""
_MARKS = re.compile(r"([\\`*_{}\[\]<>|#~!&])")


def model_card(subject: Subject) -> str:
    """Return the text of README.md."""
    front = "\n".join(_front(subject))
    parts = [f"---\n{front}\n---", f"# {_plain(_title(subject))}"]
    description = subject.text("description")
    if description:
        parts.append(_plain(description))
    data = [source for source in subject.sources() if source.kind != "model"]
    parts += _section("Evaluation", ("metric", "value", "logged by", "logged at"), _logged(subject.metrics()))
    parts += _section("Training data", ("name", "version", "reference"), _sources(data))
    base = [source for source in subject.sources() if source.kind == "model"]
    parts += _section("Base models", ("name", "version", "reference"), _sources(base))
    parts += _section("Training parameters", ("parameter", "value"), _pairs(subject.parameters().items()))
    parts += _section("Environment", ("", ""), _pairs(_environment(subject)))
    parts += _section("Other metadata", ("key", "value", "logged by", "logged at"), _logged(subject.others()))
    parts += _section("Evidence", ("", ""), _pairs(_evidence(subject)))
    if subject.checkpoint is not None:
        parts.append(
            "The newest signed checkpoint of the log, to be kept elsewhere:\n\n" + _block(subject.checkpoint.note)
        )
    return "\n\n".join(parts) + "\n"


def _title(subject: Subject) -> str:
    entity = subject.entity
    return entity.name if entity.version is None else f"{entity.name} {entity.version}"


# -- front matter ------------------------------------------------------------------------------------


def _front(subject: Subject) -> Iterator[str]:
    """Lines of YAML, every text of others as a JSON string, which YAML reads as such."""
    license_name, task = subject.text("license"), subject.text("task", "pipeline_tag")
    library = subject.text("library_name", "framework")
    for key, value in (("license", license_name), ("pipeline_tag", task), ("library_name", library)):
        if value:
            yield f"{key}: {_scalar(value)}"
    data = list(dict.fromkeys(source.name for source in subject.sources() if source.kind != "model"))
    if data:
        yield "datasets:"
        yield from (f"- {_scalar(name)}" for name in data)
    metrics = [leaf for leaf in subject.metrics() if math.isfinite(leaf.value)]
    if metrics:
        yield from _index(subject, metrics, task or "other", data[0] if data else "unknown")


def _index(subject: Subject, metrics: Sequence[Entry], task: str, data: str) -> Iterator[str]:
    yield f"model-index:\n- name: {_scalar(subject.entity.name)}\n  results:\n  - task:\n      type: {_scalar(task)}"
    yield f"    dataset:\n      type: {_scalar(data)}\n      name: {_scalar(data)}\n    metrics:"
    for leaf in metrics:
        kind = leaf.path.rpartition(".")[2]
        yield f"    - type: {_scalar(kind)}\n      name: {_scalar(leaf.path)}\n      value: {_number(leaf.value)}"


def _scalar(text: str) -> str:
    return json.dumps(visible(text), ensure_ascii=False)


def _number(value: float) -> str:
    """Return a number as YAML 1.1 reads one: with a point in what has an exponent."""
    text = str(int(value)) if isinstance(value, int) else repr(float(value))
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


# -- Markdown ----------------------------------------------------------------------------------------


def _section(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a heading and a table, or nothing where there are no rows."""
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    if not lines:
        return []
    head = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"
    return [f"## {title}", "\n".join([head, *lines])]


def _logged(leaves: Iterable[Entry]) -> Iterator[tuple[str, ...]]:
    for leaf in leaves:
        yield leaf.path, text_of(leaf.value), leaf.actor.user, f"{leaf.created:%Y-%m-%d %H:%M:%S} UTC"


def _pairs(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    return ((name, text_of(value)) for name, value in values if value is not None)


def _sources(found: Iterable[Entity]) -> Iterator[tuple[str, ...]]:
    return ((source.name, source.version or "", source.reference) for source in found)


def _environment(subject: Subject) -> Iterator[tuple[str, Any]]:
    known = subject.environment()
    yield from ((name, known.get(name)) for name in ("python", "platform", "command"))
    yield from ((f"git {name}", subject.git().get(name)) for name in ("commit", "dirty", "origin"))
    packages = subject.packages()
    yield "packages", f"{len(packages)} recorded with the run" if packages else None


def _evidence(subject: Subject) -> Iterator[tuple[str, Any]]:
    entity = subject.entity
    yield from (("project", entity.project), ("reference", entity.reference), ("event", subject.position))
    yield "stage", entity.fields.get("stage")
    yield "run", None if subject.run is None else subject.run.reference
    yield "created", None if entity.created is None else f"{entity.created:%Y-%m-%d %H:%M:%S} UTC"


def _cell(text: str) -> str:
    return _plain(text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}… ({len(text):,} characters)")


def _plain(text: str) -> str:
    """Return a text of others as Markdown that shows it: it makes no markup, links, cells or lines of its own."""
    return _MARKS.sub(r"\\\1", visible(" ".join(text.split())))


def _block(text: str) -> str:
    return "\n".join(f"    {line}" for line in visible(text, lines=True).splitlines())
