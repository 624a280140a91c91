"""The documents by name: the formats of `runlore export`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runlore.integrations.exports.mlbom import mlbom
from runlore.integrations.exports.model_card import model_card
from runlore.integrations.exports.provenance import provenance
from runlore.integrations.exports.subject import Subject, proofs_of, subject_of
from runlore.query import Client
from runlore.schemas import visible_json

Document = Literal["mlbom", "modelcard", "provenance"]


def document(client: Client, reference: str, kind: Document) -> tuple[str, Subject]:
    """Return the text of a document about a version, and what it is about. Raises NotFoundError, ArgumentError."""
    subject = subject_of(client, reference)
    match kind:
        case "mlbom":
            return _json(mlbom(subject)), subject
        case "modelcard":
            return model_card(subject), subject
        case "provenance":
            return _json(provenance(subject, proofs_of(client, subject))), subject


def _json(value: dict[str, Any]) -> str:
    return visible_json(msgspec.json.format(msgspec.json.encode(value), indent=2)).decode() + "\n"
