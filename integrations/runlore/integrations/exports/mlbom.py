"""CycloneDX 1.6 ML-BOM: the model with its card, the data and models it was made from, the installed packages."""

from __future__ import annotations

import uuid
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from runlore.integrations.exports.subject import Subject, sha256_of, text_of
from runlore.query import Entity, Entry

_SPACE = uuid.UUID("4f9a4b62-6c54-5d0b-9a55-0d2a5d4f8a11")
"""Of serial numbers: one state of one model has one, so that the document can be made again."""


def mlbom(subject: Subject) -> dict[str, Any]:
    """Return the bill of materials."""
    entity, sources = subject.entity, subject.sources()
    components = [*map(_source, sources), *(_package(*item) for item in sorted(subject.packages().items()))]
    serial = uuid.uuid5(_SPACE, f"{entity.project}\0{entity.reference}\0{subject.position}")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": subject.recorded_at.isoformat(),
            "tools": {"components": [{"type": "application", "name": "runlore", "version": version("runlore")}]},
            "component": _model(subject),
        },
        "components": components,
        "dependencies": _dependencies(subject, [component["bom-ref"] for component in components]),
    }


def _model(subject: Subject) -> dict[str, Any]:
    license_name, description = subject.text("license"), subject.text("description")
    return {
        **_named(subject.entity, "machine-learning-model"),
        **({"description": description} if description else {}),
        **({"licenses": [{"license": {"name": license_name}}]} if license_name else {}),
        **_hashes(subject.leaves),
        "modelCard": _card(subject),
        "properties": _evidence(subject),
    }


def _card(subject: Subject) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        name: found
        for name, paths in (
            ("task", ("task",)),
            ("architectureFamily", ("architecture_family", "framework")),
            ("modelArchitecture", ("architecture", "model_architecture", "model_type")),
        )
        if (found := subject.text(*paths))
    }
    data = [{"ref": source.reference} for source in subject.sources() if source.kind != "model"]
    metrics = [{"type": leaf.path, "value": text_of(leaf.value)} for leaf in subject.metrics()]
    return {
        "modelParameters": {**parameters, **({"datasets": data} if data else {})},
        **({"quantitativeAnalysis": {"performanceMetrics": metrics}} if metrics else {}),
        "properties": [
            *(_property(f"parameters.{name}", value) for name, value in subject.parameters().items()),
            *(_property(leaf.path, leaf.value) for leaf in subject.others()),
        ],
    }


def _evidence(subject: Subject) -> list[dict[str, str]]:
    entity, run, git = subject.entity, subject.run, subject.git()
    known = {
        "runlore:project": entity.project,
        "runlore:reference": entity.reference,
        "runlore:position": str(subject.position),
        "runlore:stage": entity.fields.get("stage"),
        "runlore:run": None if run is None else run.reference,
        "runlore:git:commit": git.get("commit"),
        "runlore:checkpoint": None if subject.checkpoint is None else subject.checkpoint.note,
    }
    return [_property(name, value) for name, value in known.items() if value]


def _source(source: Entity) -> dict[str, Any]:
    leaves = list(source.blame())
    uri = next((leaf.value for leaf in leaves if leaf.path in ("uri", "url") and isinstance(leaf.value, str)), None)
    properties = [_property(leaf.path, leaf.value) for leaf in leaves]
    if source.kind == "model" or source.fields.get("is_model_artifact"):
        return {**_named(source, "machine-learning-model"), **_hashes(leaves), "properties": properties}
    contents = {**({"url": str(uri)} if uri else {}), "properties": properties}
    data = {"type": "dataset", "name": source.name, "contents": contents}
    return {**_named(source, "data"), **_hashes(leaves), "data": [data]}


def _named(entity: Entity, kind: str) -> dict[str, Any]:
    return {"type": kind, "bom-ref": entity.reference, "name": entity.name, "version": entity.version or ""}


def _hashes(leaves: list[Entry]) -> dict[str, Any]:
    sums = list(dict.fromkeys(sha256_of(leaves).values()))
    return {"hashes": [{"alg": "SHA-256", "content": content} for content in sums]} if sums else {}


def _package(name: str, release: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{quote(name.lower().replace('_', '-'), safe='')}@{quote(release, safe='')}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": release, "purl": purl}


def _dependencies(subject: Subject, components: list[str]) -> list[dict[str, Any]]:
    made = _made_from(subject)
    known = {*components, subject.entity.reference}
    inner = [
        {"ref": reference, "dependsOn": sorted(found)}
        for reference in components
        if (found := made.get(reference, set[str]()) & known - {reference})
    ]
    return [{"ref": subject.entity.reference, "dependsOn": components}, *inner]


def _made_from(subject: Subject) -> dict[str, set[str]]:
    """What each produced version was made from: all that its step consumed."""
    consumed: dict[str, set[str]] = {}
    for edge in subject.lineage.edges:
        if edge.relation == "consumed":
            consumed.setdefault(edge.source.reference, set()).add(edge.target.reference)
    made: dict[str, set[str]] = {}
    for edge in subject.lineage.edges:
        if edge.relation == "produced":
            made.setdefault(edge.target.reference, set()).update(consumed.get(edge.source.reference, ()))
    return made


def _property(name: str, value: Any) -> dict[str, str]:
    return {"name": name, "value": text_of(value)}
