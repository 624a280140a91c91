"""An in-toto statement with SLSA provenance v1: who made a model, from what and how, and that the log says so."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import quote

import msgspec

from runlore.integrations.exports.subject import Subject, sha256_of
from runlore.query import Entity, LoggedEvent, plain

STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:runlore:run:v1"
"""A run that Runlore recorded: `externalParameters` are its pipeline and its parameters."""
METADATA_DIGEST = "runloreMetadataSha256"
"""Where no SHA-256 of a file was logged: of the metadata as JSON, keys sorted, no spaces."""


def provenance(subject: Subject, proofs: list[LoggedEvent]) -> dict[str, Any]:
    """Return the statement."""
    return {
        "_type": STATEMENT,
        "subject": _subjects(subject.entity, subject),
        "predicateType": PREDICATE,
        "predicate": {"buildDefinition": _definition(subject), "runDetails": _details(subject, proofs)},
    }


def _subjects(entity: Entity, subject: Subject) -> list[dict[str, Any]]:
    sums = sha256_of(subject.leaves)
    if not sums:
        return [{"name": entity.reference, "digest": {METADATA_DIGEST: _metadata_digest(entity)}}]
    if len(sums) == 1:
        return [{"name": entity.reference, "digest": {"sha256": content}} for content in sums.values()]
    return [{"name": f"{entity.reference}#{path}", "digest": {"sha256": it}} for path, it in sums.items()]


def _metadata_digest(entity: Entity) -> str:
    text = json.dumps(plain(entity.metadata), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _definition(subject: Subject) -> dict[str, Any]:
    run, environment = subject.run, subject.environment()
    inner = {name: environment[name] for name in ("python", "platform", "command", "folder") if name in environment}
    return {
        "buildType": BUILD_TYPE,
        "externalParameters": {
            "pipeline": None if run is None else run.pipeline,
            "parameters": plain(subject.parameters()),
        },
        "internalParameters": plain(inner),
        "resolvedDependencies": [*_code(subject), *map(_source, subject.sources()), *_packages(subject)],
    }


def _code(subject: Subject) -> list[dict[str, Any]]:
    git = subject.git()
    commit, origin = git.get("commit"), git.get("origin")
    if not commit:
        return []
    where = {"uri": f"git+{origin}@{commit}"} if origin else {"name": "code"}
    return [{**where, "digest": {"gitCommit": str(commit)}, "annotations": {"dirty": plain(git.get("dirty"))}}]


def _source(source: Entity) -> dict[str, Any]:
    leaves = list(source.blame())
    sums = list(sha256_of(leaves).values())
    found = next((leaf.value for leaf in leaves if leaf.path in ("uri", "url") and isinstance(leaf.value, str)), None)
    digest = {"sha256": sums[0]} if sums else {METADATA_DIGEST: _metadata_digest(source)}
    return {"name": source.reference, **({"uri": str(found)} if found else {}), "digest": digest}


def _packages(subject: Subject) -> list[dict[str, Any]]:
    return [
        {"uri": f"pkg:pypi/{quote(name.lower(), safe='')}@{quote(release, safe='')}"}
        for name, release in sorted(subject.packages().items())
    ]


def _details(subject: Subject, proofs: list[LoggedEvent]) -> dict[str, Any]:
    run, entity = subject.run, subject.entity
    by = subject.leaves[0].actor if subject.leaves else None
    times = {} if run is None else {"startedOn": run.started_at, "finishedOn": run.finished_at}
    return {
        "builder": {
            "id": f"urn:runlore:project:{quote(entity.project, safe='')}",
            "version": {} if by is None else {"runlore": by.library},
        },
        "metadata": {
            "invocationId": entity.reference if run is None else run.reference,
            **{name: value.isoformat() for name, value in times.items() if value is not None},
        },
        "byproducts": _evidence(subject, proofs),
    }


def _evidence(subject: Subject, proofs: list[LoggedEvent]) -> list[dict[str, Any]]:
    """Return the checkpoint as it was signed, and for each event its leaf and the way to the checkpoint's root."""
    if subject.checkpoint is None:
        return []
    checkpoint = _content("runlore-checkpoint", "text/plain", subject.checkpoint.note.encode())
    events = [_proved(found) for found in proofs]
    return [checkpoint, _content("runlore-events", "application/json", msgspec.json.encode(events))]


def _proved(found: LoggedEvent) -> dict[str, Any]:
    proof = found.proof
    return {
        "position": found.position,
        "event_id": found.event_id,
        "created": found.created,
        "actor": None if found.event is None else msgspec.structs.asdict(found.event.actor),
        "signer": found.signer,
        "payload": found.payload,
        "leaf": None if proof is None else proof.leaf.hex(),
        "index": None if proof is None else proof.index,
        "siblings": [] if proof is None else [step.sibling.hex() for step in proof.steps],
        "unproved": found.unproved,
    }


def _content(name: str, media_type: str, content: bytes) -> dict[str, Any]:
    digest = {"sha256": hashlib.sha256(content).hexdigest()}
    return {"name": name, "mediaType": media_type, "digest": digest, "content": base64.b64encode(content).decode()}
