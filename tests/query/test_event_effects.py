"""Whether an archived event took effect is said wherever it is shown: library, `tail`, page and API agree."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from runlore.cli.app import app
from runlore.query import Client
from runlore.query.records import logged_record
from runlore.store.folder import DataDir
from tests.audit.stories import (
    APPROVAL,
    BROKEN,
    COPY,
    FOREIGN,
    FORGED,
    LAST,
    LIMIT,
    NAMELESS,
    REFUSED,
    RENAMED,
    make_story,
)
from tests.dashboard.conftest import web_over

STAGES = {
    FORGED: ("conflict", APPROVAL), COPY: ("copy", APPROVAL), FOREIGN: ("decode", None), RENAMED: ("decode", None),
    BROKEN: ("decode", None), LIMIT: ("fold", None), REFUSED: ("fold", None), NAMELESS: ("decode", None),
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataDir:
    return make_story(tmp_path_factory.mktemp("effect") / "data")


def tailed(data: DataDir) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["tail", "--since", "0", "--no-follow", "--json", "--data-dir", str(data.root)])
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_library_says_which_rule_rejected_an_event(data: DataDir) -> None:
    with Client(data.root) as client:
        for position in range(1, LAST + 1):
            found = client.logged_event(position)
            named = None if found.rejected is None else (found.rejected.stage, found.rejected.first)
            assert named == STAGES.get(position), position
            record = logged_record(found)
            assert record["effect"] == ("rejected" if position in STAGES else "accepted")
        forged = client.logged_event(FORGED).rejected
    assert forged is not None
    assert "with other content" in forged.why


def test_tail_says_the_same_except_what_depends_on_earlier_events(data: DataDir) -> None:
    rows = tailed(data)
    assert [row["position"] for row in rows] == [*range(1, LAST + 1)]
    found = {row["position"]: (row["rejected"]["stage"], row["rejected"]["first"]) for row in rows if row["rejected"]}
    assert found == {position: named for position, named in STAGES.items() if position != REFUSED}
    done = CliRunner().invoke(app, ["tail", "--since", "0", "--no-follow", "--data-dir", str(data.root)])
    lines = done.stdout.splitlines()
    assert "no effect: event" in lines[FORGED - 1]
    assert "no effect" not in lines[APPROVAL - 1]


def test_page_and_api_say_it_too(data: DataDir) -> None:
    with Client(data.root) as client:
        web = web_over(client)
        page = web.get(f"/event?position={FORGED}").text
        assert "no effect" in page
        assert f"/event?position={APPROVAL}" in page
        assert "no effect" not in web.get(f"/event?position={APPROVAL}").text
        event = web.get(f"/api/v1/event?position={FORGED}").json()["event"]
        assert (event["effect"], event["rejected"]["stage"], event["erasure"]) == ("rejected", "conflict", None)
