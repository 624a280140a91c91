"""The audit on the page: an event raw and decoded, its proof, the newest checkpoint, what the last verification found."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from runlore.cli.app import app
from runlore.projector.audit.keys import load_signer
from runlore.query import Client
from runlore.store.audit.checkpoint import signed_by
from runlore.store.folder import DataDir
from tests.audit.logs import tamper
from tests.dashboard.conftest import web_over
from tests.events import LogBuilder
from tests.query.views import client_of


def text_of(answer: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer))


def verify(folder: Path, *options: str) -> int:
    done = CliRunner().invoke(app, ["audit", "verify", "--offline", *options, "--data-dir", str(folder)])
    return done.exit_code


@pytest.fixture
def folder(demo: Client) -> Path:
    assert demo.scope.reader.data is not None
    return demo.scope.reader.data.root


def test_an_event_shows_its_bytes_and_a_proof_that_ends_at_the_signed_root(
    web: TestClient, demo: Client, folder: Path
) -> None:
    found = demo.logged_event(30)
    page = web.get("/event?position=30")
    text = text_of(page.text)
    assert found.event is not None
    assert found.proof is not None
    assert "in the signed log" in text
    assert found.event.id in text
    assert found.proof.leaf.hex() in text
    assert all(step.sibling.hex() in text and step.gives.hex() in text for step in found.proof.steps)
    signer = load_signer(DataDir(folder).checkpoint_key, found.proof.checkpoint.origin)
    checkpoint, _ = signed_by(found.proof.checkpoint.note, [signer.verifier])
    assert found.proof.steps[-1].gives == checkpoint.root
    assert found.payload[:16].hex(" ") in text
    assert web.get("/payload?position=30").content == found.payload


def test_the_api_has_the_same_event(web: TestClient, demo: Client) -> None:
    answer = web.get("/api/v1/event?position=30").json()
    found = demo.logged_event(30)
    assert found.proof is not None
    assert answer["event"]["type"] == "metadata_logged"
    assert answer["proof"]["leaf"] == found.proof.leaf.hex()
    assert [step["gives"] for step in answer["proof"]["steps"]] == [step.gives.hex() for step in found.proof.steps]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/event", 400, "missing parameter: position"),
        ("/event?position=x", 400, "whole number"),
        ("/event?position=0", 400, "whole number"),
        ("/event?position=100000", 404, "has no event 100,000"),
        ("/event?position=50&as_of=40", 404, "later than the moment"),
        ("/api/v1/event", 400, "missing parameter: position"),
        ("/payload?position=100000", 404, "has no event 100,000"),
    ],
)
def test_a_wrong_position_is_said(web: TestClient, path: str, status: int, says: str) -> None:
    answer = web.get(path)
    assert answer.status_code == status
    assert says in answer.text


def test_the_trail_the_history_and_the_quarantine_lead_to_the_event(web: TestClient, demo: Client) -> None:
    entry = demo.get("model:churn@2").run_metadata["framework"]
    link = f"/event?position={entry.position}"
    assert link in web.get("/trail?ref=model:churn@2&limit=500").text
    assert link in web.get("/history?ref=model:churn@2&path=framework").text
    (bad,) = demo.quarantine()
    assert f"/event?position={bad['position']}" in web.get("/quarantine").text
    page = web.get(f"/event?position={bad['position']}")
    assert "not an event" in page.text
    assert "in the signed log" in page.text


def test_the_audit_says_what_is_signed_and_that_nobody_verified(web: TestClient, demo: Client) -> None:
    state = demo.audit_state()
    assert state.checkpoint is not None
    text = text_of(web.get("/audit").text)
    assert f"{state.leaves} of {state.leaves} events signed" in text
    assert state.checkpoint.note.splitlines()[2] in text
    assert "This log has not been verified here yet" in text
    saved = web.get("/checkpoint.txt")
    assert saved.text == state.checkpoint.note
    assert saved.headers["content-disposition"] == f'attachment; filename="checkpoint-{state.leaves}.txt"'


def test_a_verification_on_the_command_line_shows_on_the_page(web: TestClient, demo: Client, folder: Path) -> None:
    assert verify(folder) == 0
    state = demo.audit_state()
    assert state.verify is not None
    assert (state.verify.problems, state.verify.root, state.verify.view) == ([], state.root.hex(), True)
    text = text_of(web.get("/audit").text)
    assert f"verified {state.position} events verified from raw bytes" in text
    assert "Not compared with the stream: --offline" in text
    assert web.get("/api/v1/audit").json()["verify"]["root"] == state.root.hex()


def test_a_failed_verification_shows_on_the_page_and_on_its_events(web: TestClient, folder: Path) -> None:
    tamper(DataDir(folder).log, "UPDATE log SET payload = x'00' WHERE position = 30")
    assert verify(folder) == 4
    text = text_of(web.get("/audit").text)
    assert "Verification found problems" in text
    assert "position 30" in text
    assert "does not match its checkpoint" in text_of(web.get("/event?position=30").text)
    assert "in the signed log" in text_of(web.get("/event?position=31").text)


def test_where_the_result_cannot_be_left_the_verification_counts_all_the_same(web: TestClient, folder: Path) -> None:
    DataDir(folder).verified.mkdir()  # in the way, for root as well
    assert verify(folder, "--no-replay") == 0
    assert "has not been verified here yet" in web.get("/audit").text


def test_hostile_events_stay_text(hostile: TestClient) -> None:
    status = hostile.get("/api/v1/audit").json()
    for position in range(1, status["position"] + 1):
        page = hostile.get(f"/event?position={position}")
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "\u202e" not in page.text
        assert len(page.text) < 200_000
        saved = hostile.get(f"/payload?position={position}")
        assert saved.headers["content-type"] == "application/octet-stream"
        assert saved.headers["content-disposition"].startswith("attachment")


def test_without_a_log_the_page_says_where_it_is(web: TestClient, folder: Path) -> None:
    for path in folder.glob("projection/log.db*"):
        path.unlink()
    assert "raw events and proofs are where the projector runs" in web.get("/audit").text
    assert web.get("/event?position=3").status_code == 404
    assert web.get("/checkpoint.txt").status_code == 404


def test_a_note_left_by_another_user_is_no_error(web: TestClient, folder: Path) -> None:
    DataDir(folder).verified.write_text(json.dumps({"at": "yesterday"}))
    assert "has not been verified here yet" in web.get("/audit").text


def test_another_project_sees_the_event_with_its_project_named(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        for log.project in ("default", "other"):
            log.log("model:m@1", {"x": 1})

    with web_over(client_of(tmp_path, write, archived=True)) as web:
        text = text_of(web.get("/event?position=1&project=other").text)
    assert "project default" in text
