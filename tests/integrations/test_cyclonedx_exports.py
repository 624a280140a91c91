"""What `runlore export` writes is valid for the libraries that others read it with, whatever was logged."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest

from runlore.integrations.exports.documents import document
from runlore.query import Client
from runlore.schemas.visible import visible
from tests.events import LogBuilder
from tests.integrations.exported import SUM, write, write_hostile
from tests.query.views import client_of

pytest.importorskip("cyclonedx")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("cyclonedx")]
MODELS = ["model:churn@1", "model:evil@1", "artifact:clean@1"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    def both(log: LogBuilder) -> None:
        write(log)
        write_hostile(log)

    return client_of(tmp_path_factory.mktemp("exports"), both, archived=True)


@pytest.mark.parametrize("reference", MODELS)
def test_an_ml_bom_is_valid_by_the_schema_of_cyclonedx(client: Client, reference: str) -> None:
    from cyclonedx.model.bom import Bom
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text, _ = document(client, reference, "mlbom")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom: Any = Bom.from_json(json.loads(text))  # type: ignore[attr-defined]
    assert bom.metadata.component.type == "machine-learning-model"


@pytest.mark.parametrize("reference", MODELS)
def test_a_model_card_is_read_by_hugging_faces_library(client: Client, reference: str) -> None:
    from huggingface_hub import ModelCard

    text, subject = document(client, reference, "modelcard")
    card = ModelCard(text)
    results = card.data.eval_results or []
    expected = {visible(leaf.path): leaf.value for leaf in subject.metrics() if math.isfinite(leaf.value)}
    assert {result.metric_name: result.metric_value for result in results} == expected
    assert all(isinstance(result.metric_value, (int, float)) for result in results)
    if reference == "model:churn@1":
        assert (card.data.license, card.data.library_name, card.data.datasets) == (
            "apache-2.0",
            "sklearn",
            ["clean", "raw"],
        )
    assert "<b>" not in card.text
    assert "\x1b" not in text


@pytest.mark.parametrize("reference", MODELS)
def test_a_provenance_statement_is_valid_by_in_totos_library(client: Client, reference: str) -> None:
    import in_toto_attestation.v1.statement_pb2 as statements
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
    from in_toto_attestation.v1.statement import Statement

    text, _ = document(client, reference, "provenance")
    found = json.loads(text)
    Statement.copy_from_pb(json_format.ParseDict(found, statements.Statement())).validate()  # type: ignore[attr-defined]
    predicate: Any = json_format.ParseDict(found["predicate"], Provenance())  # unknown fields are errors
    assert predicate.build_definition.build_type == "urn:runlore:run:v1"
    for item in predicate.run_details.byproducts:
        assert hashlib.sha256(item.content).hexdigest() == item.digest["sha256"]


def test_the_checkpoint_in_a_statement_is_the_logs_own(client: Client) -> None:
    found = json.loads(document(client, "model:churn@1", "provenance")[0])
    assert found["subject"] == [{"name": "model:churn@1", "digest": {"sha256": SUM}}]
    note, events = (base64.b64decode(item["content"]) for item in found["predicate"]["runDetails"]["byproducts"])
    checkpoint = client.audit_state().checkpoint
    assert checkpoint is not None
    assert note.decode() == checkpoint.note
    assert {event["actor"]["user"] for event in json.loads(events)} == {"ada"}


def test_the_libraries_are_those_of_the_constraints() -> None:
    pins = (Path(__file__).parents[2] / "integrations" / "constraints" / "cyclonedx.txt").read_text()
    assert all(f"{name}==" in pins for name in ("cyclonedx-python-lib", "huggingface-hub", "in-toto-attestation"))
