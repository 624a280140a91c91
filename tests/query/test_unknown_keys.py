"""A question about what nothing has is told so, with what may have been meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from starlette.testclient import TestClient

from runlore.cli.app import app
from runlore.dashboard.app import create_app
from runlore.query import Client
from runlore.query.find.unknown import UnknownKey
from runlore.query.near import near
from runlore.schemas import EntityRef, MetadataLogged, MetadataRetracted, ModelStageChanged, NotFoundError, RunStarted
from runlore.schemas.values import pack_metadata
from tests.events import LogBuilder
from tests.query.views import client_of

CHURN = EntityRef("model", "churn", "1")


def _log(log: LogBuilder) -> None:
    log.add(RunStarted("nightly", "first", parameters=pack_metadata({"learning_rate": 0.1})), "r1")
    log.add(MetadataLogged((EntityRef("step", "fit", run="r1"),), pack_metadata({"loss": 0.5})), "r1", "fit")
    log.log("model:churn@1", {"metrics": {"accuracy": 0.9}, "gone": 1})
    log.add(MetadataRetracted((CHURN,), (("gone",),), "wrong"))
    log.add(ModelStageChanged(CHURN, "canary"))


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return client_of(tmp_path, _log)


@pytest.mark.parametrize(
    ("kind", "where", "told"),
    [
        ("run", "learning_rate > 0", "no run has `learning_rate`; did you mean `parameters.learning_rate`?"),
        ("run", "parameters.learning_rte > 0", "no run has `parameters.learning_rte`; did you mean `parameters.learning_rate`"),
        ("run", "loss < 1", "no run has `loss`; did you mean `fit::loss`?"),
        ("model", "acuracy > 1", "no model has `acuracy`"),
        ("model", "accuracy > 1", "no model has `accuracy`; did you mean `metrics.accuracy`?"),
        ("model", "metrics.acuracy > 1", "no model has `metrics.acuracy`; did you mean `metrics.accuracy`?"),
        ("model", "not retired", "no model has `retired`"),
        ("dataset", "metrics.accuracy > 0", "no dataset has `metrics.accuracy`"),
        (None, "acuracy > 1", "no entity has `acuracy`"),
    ],
)  # fmt: skip
def test_a_key_that_nothing_has_is_named(client: Client, kind: str | None, where: str, told: str) -> None:
    (unknown,) = client.find(kind, where).unknown
    assert str(unknown).startswith(told)


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("model", "metrics.accuracy > 5"),
        ("model", "metrics exists and metrics.accuracy > 5"),
        ("model", "gone = 1"),  # it had it
        ("model", "stage = 'production' and name = 'x' and created > 2027-01-01"),
        ("run", "parameters.learning_rate > 5"),
        ("run", "fit::loss > 5"),
        ("run", "status = 'failed' and pipeline = 'x'"),
        ("step", "loss > 5"),
        (None, "loss > 5"),
    ],
)
def test_a_key_that_something_has_is_none_of_them_however_empty_the_answer(
    client: Client, kind: str | None, where: str
) -> None:
    found = client.find(kind, where)
    assert (list(found), found.unknown) == ([], [])


def test_orders_count_too_and_full_answers_only_name_what_nothing_at_all_has(client: Client) -> None:
    found = client.find("model", order_by="acuracy")
    assert (len(found), found.unknown) == (1, [UnknownKey("acuracy", ["metrics.accuracy"], "model")])
    assert client.find("model", order_by="fit::loss").unknown == []  # a step has it
    assert client.find("model", "metrics.accuracy > 0").unknown == []


def test_names_stages_versions_runs_and_kinds_are_suggested(client: Client) -> None:
    for reference, like in {
        "model:chrun": "'churn'", "model:churn@canry": "'canary'", "model:churn@production": "",
        "run:nigthly": "'nightly'", "pipeline:nigtly": "'nightly'",
    }.items():  # fmt: skip
        with pytest.raises(NotFoundError) as error:
            client.get_pipeline_run(reference[4:]) if reference.startswith("run:") else client.get(reference)
        assert (f"did you mean {like}?" in str(error.value)) == bool(like), reference


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--data-dir", str(folder)])


def test_the_command_tells_it_and_strict_exits_with_3(client: Client, tmp_path: Path) -> None:
    loose, strict = (run(tmp_path, "find", "run", "learning_rate > 0", *more) for more in ((), ("--strict",)))
    assert (loose.exit_code, strict.exit_code) == (0, 3)
    assert loose.stderr == strict.stderr == "no run has `learning_rate`; did you mean `parameters.learning_rate`?\n"
    assert run(tmp_path, "find", "modl", "--strict", "--json").exit_code == 3
    assert run(tmp_path, "find", "model", "metrics.accuracy > 5", "--strict").exit_code == 0
    shown = run(tmp_path, "find", "model", "--columns", "accuracy", "--strict")
    assert (shown.exit_code, "`metrics.accuracy`" in shown.stderr) == (3, True)
    assert "did you mean 'search'?" in run(tmp_path, "serch", "x").output


def test_the_page_tells_it(client: Client) -> None:
    with TestClient(create_app(client, {"testserver"}, None, 30.0)) as web:
        page = web.get("/list", params={"kind": "run", "where": "learning_rate > 0"}).text
    assert "<code>learning_rate</code>; did you mean" in page
    assert "<code>parameters.learning_rate</code>" in page


def test_what_ends_alike_comes_before_what_looks_alike() -> None:
    known = ["metrics.loss", "losss", "fit::loss", "boss"]
    assert near("loss", known) == ["metrics.loss", "fit::loss"]
    assert near("LOS", known)[0] in ("losss", "boss")
    assert near("zzz", known) == []
