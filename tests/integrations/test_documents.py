"""`runlore export`: what the documents about a model say, and where."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from runlore.cli.app import app
from runlore.integrations.exports.documents import document
from runlore.query import Client
from runlore.store.audit.merkle import climb
from tests.integrations.exported import HOSTILE, SUM, write, write_hostile
from tests.query.views import client_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("documents")
    client_of(root, write, archived=True).close()
    return root


@pytest.fixture
def client(folder: Path) -> Client:
    return Client(folder)


def test_a_bill_of_materials_has_card_data_packages_and_evidence(client: Client) -> None:
    bom = json.loads(document(client, "model:churn", "mlbom")[0])
    model = bom["metadata"]["component"]
    card = model["modelCard"]
    assert (model["name"], model["version"], model["licenses"]) == ("churn", "1", [{"license": {"name": "apache-2.0"}}])
    assert model["hashes"] == [{"alg": "SHA-256", "content": SUM}]
    assert card["modelParameters"]["task"] == "tabular-classification"
    assert card["modelParameters"]["datasets"] == [{"ref": "artifact:clean@1"}, {"ref": "artifact:raw@1"}]
    metrics = {item["type"]: item["value"] for item in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert metrics["evaluation_metrics.accuracy"] == "0.93"
    assert metrics["loss"] == "0.25"
    assert "size" not in metrics
    assert {"name": "parameters.epochs", "value": "3"} in card["properties"]
    components = {item["bom-ref"]: item for item in bom["components"]}
    assert components["artifact:raw@1"]["data"][0]["contents"]["url"] == "s3://bucket/raw.parquet"
    assert components["pkg:pypi/numpy@2.1.0"]["purl"] == "pkg:pypi/numpy@2.1.0"
    depends = {item["ref"]: item["dependsOn"] for item in bom["dependencies"]}
    assert depends["artifact:clean@1"] == ["artifact:raw@1"]
    evidence = {item["name"]: item["value"] for item in model["properties"]}
    assert (evidence["runlore:run"], evidence["runlore:git:commit"], evidence["runlore:stage"]) == (
        "run:r1",
        "1a2b3c",
        "production",
    )
    assert evidence["runlore:checkpoint"] == client.audit_state().checkpoint.note  # type: ignore[union-attr]


def test_one_state_of_a_model_has_one_document(client: Client) -> None:
    for kind in ("mlbom", "modelcard", "provenance"):
        assert document(client, "model:churn@1", kind)[0] == document(client, "model:churn@production", kind)[0]


def test_a_model_card_says_who_logged_each_value(client: Client) -> None:
    text = document(client, "model:churn@1", "modelcard")[0]
    assert "| evaluation\\_metrics.accuracy | 0.93 | ada | 2026-01-01 00:00:10 UTC |" in text
    assert 'license: "apache-2.0"' in text
    assert "      value: 1.0e-07" in text


def test_a_statement_proves_each_event_of_the_model(client: Client) -> None:
    found = json.loads(document(client, "model:churn@1", "provenance")[0])
    definition, details = found["predicate"]["buildDefinition"], found["predicate"]["runDetails"]
    assert definition["externalParameters"] == {"pipeline": "nightly", "parameters": {"lr": 1e-05, "epochs": 3}}
    dependencies = definition["resolvedDependencies"]
    assert dependencies[0]["uri"] == "git+https://127.0.0.1/team/churn.git@1a2b3c"
    assert {"uri": "pkg:pypi/numpy@2.1.0"} in dependencies
    assert {"name": "artifact:raw@1", "uri": "s3://bucket/raw.parquet", "digest": {"sha256": SUM}} in dependencies
    assert details["metadata"]["invocationId"] == "run:r1"
    events = json.loads(base64.b64decode(details["byproducts"][1]["content"]))
    checkpoint = client.audit_state().checkpoint
    assert checkpoint is not None
    for event in events:
        logged = client.logged_event(event["position"])
        assert base64.b64decode(event["payload"]) == logged.payload
        steps = climb(
            bytes.fromhex(event["leaf"]),
            event["index"],
            checkpoint.size,
            [bytes.fromhex(it) for it in event["siblings"]],
        )
        assert steps is not None
        assert steps[-1].gives == checkpoint.root
    assert {event["event_id"] for event in events} >= {leaf.event_id for leaf in client.blame("model:churn@1")}


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    client = client_of(tmp_path, write_hostile)
    card = document(client, "model:evil@1", "modelcard")[0]
    assert "<b>" not in card.split("---\n", 2)[2]
    assert "\x1b" not in card
    assert "\u202e" not in card
    properties = json.loads(document(client, "model:evil@1", "mlbom")[0])["metadata"]["component"]["modelCard"][
        "properties"
    ]
    assert {"name": f"parameters.{HOSTILE}", "value": HOSTILE} in properties


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["export", *words])


def test_a_document_goes_to_stdout_or_to_a_file_of_this_user(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "churn.json"
    shown = run("model:churn@1", "--format", "mlbom", "--data-dir", str(folder))
    written = run("model:churn@1", "--format", "mlbom", "--data-dir", str(folder), "--out", str(target))
    assert (shown.exit_code, written.exit_code, written.stdout) == (0, 0, "")
    assert target.read_text() == shown.stdout
    assert target.stat().st_mode & 0o777 == 0o600
    assert (
        "exists already"
        in run("model:churn@1", "--format", "mlbom", "--data-dir", str(folder), "--out", str(target)).stderr
    )


def test_what_is_no_version_of_a_model_is_said(folder: Path, tmp_path: Path) -> None:
    refused = run("run:r1", "--format", "mlbom", "--data-dir", str(folder))
    assert (refused.exit_code, "no version of a model" in refused.stderr) == (2, True)
    assert run("model:none", "--format", "modelcard", "--data-dir", str(folder)).exit_code == 3
    client_of(tmp_path, write).close()
    bare = run("model:churn@1", "--format", "provenance", "--data-dir", str(tmp_path))
    assert (bare.exit_code, "without a checkpoint: no log.db here" in bare.stderr) == (0, True)
    assert json.loads(bare.stdout)["predicate"]["runDetails"]["byproducts"] == []
