"""Optuna: a study and its trials as runs, with the values, states and times that the study itself has."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from loop_tools import caught_up, parameters, points, run_section

import runlore.producer as producer
from runlore.cli.stack import EmbeddedStack
from runlore.producer import log_metadata, outbox_status, run_context
from runlore.query import Client, PipelineRun
from runlore.store.folder import DataDir

optuna: Any = pytest.importorskip("optuna")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("optuna")]

from runlore.integrations.optuna import RunloreCallback, optimize  # noqa: E402

optuna.logging.set_verbosity(optuna.logging.ERROR)
STATUSES = {"COMPLETE": "completed", "PRUNED": "killed", "FAIL": "failed"}


def trial_runs(client: Client, study: str) -> dict[int, PipelineRun]:
    found = client.find("run", f"group = '{study}' and pipeline = 'optuna-trial'")
    runs = [client.get_pipeline_run(each.id) for each in found]
    return {run.metadata["trial"]["number"]: run for run in runs}


def assert_same(client: Client, study: Any) -> dict[int, PipelineRun]:
    """Each trial is a run, value by value, step by step, time by time."""
    runs = trial_runs(client, study.study_name)
    assert sorted(runs) == [trial.number for trial in study.trials]
    for trial in study.trials:
        run = runs[trial.number]
        assert (run.status, run.metadata["trial"]["state"]) == (STATUSES[trial.state.name], trial.state.name)
        assert parameters(run) == trial.params
        assert points(run).get("intermediate", []) == list(trial.intermediate_values.items())
        if trial.values is not None and len(trial.values) == 1:
            assert run.metadata["metrics"]["value"] == trial.value
        assert (run.started_at, run.finished_at) == (
            trial.datetime_start.astimezone(),
            trial.datetime_complete.astimezone(),
        )
    return runs


def objective(trial: Any) -> float:
    x = trial.suggest_float("x", -1, 1)
    kind = trial.suggest_categorical("kind", ["a", "b", None])
    log_metadata({"own": {"kind": kind}})
    for step in range(5):
        trial.report(x**2 + step, step)
    if trial.number == 2:
        raise optuna.TrialPruned
    if trial.number == 3:
        raise ValueError("broken")
    if trial.number == 4:
        return float("nan")
    return float(x**2)


@pytest.mark.parametrize("jobs", [1, 3])
def test_trials_are_runs_as_the_study_tells_them(stack: EmbeddedStack, jobs: int) -> None:
    study = optuna.create_study(study_name="churn", sampler=optuna.samplers.RandomSampler(1))
    optimize(study, objective, n_trials=8, n_jobs=jobs, catch=ValueError, tags=["cpu"])
    client = caught_up()
    runs = assert_same(client, study)
    for trial in study.trials:
        assert runs[trial.number].metadata["own"] == {"kind": trial.params["kind"]}
        assert runs[trial.number].tags == ["cpu"]
    assert (runs[3].fields["error_type"], runs[3].fields["error_message"]) == ("ValueError", "broken")
    (parent,) = {run.fields["parent"] for run in runs.values()}
    whole = client.get_pipeline_run(parent.removeprefix("run:"))
    assert (whole.status, whole.fields["name"]) == ("completed", "churn")
    assert whole.parameters["direction"] == "minimize"
    assert whole.metadata["metrics"] == {"best_value": study.best_value}
    assert whole.metadata["best_parameters"] == study.best_params
    assert whole.metadata["trials"] == {"complete": 5, "fail": 2, "pruned": 1}


def test_an_error_that_optuna_raises_fails_the_trial_and_the_study(stack: EmbeddedStack) -> None:
    study = optuna.create_study(study_name="broken", sampler=optuna.samplers.RandomSampler(1))
    with pytest.raises(ValueError, match="broken"):
        optimize(study, objective, n_trials=8)
    client = caught_up()
    runs = assert_same(client, study)
    assert runs[3].fields["error_type"] == "ValueError"
    assert client.get_pipeline_run("optuna").status == "failed"


def test_an_interrupt_kills_the_trial_and_the_study_and_goes_on(stack: EmbeddedStack) -> None:
    study = optuna.create_study(study_name="stopped")

    def interrupted(trial: Any) -> float:
        if trial.number == 1:
            raise KeyboardInterrupt
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        optimize(study, interrupted, n_trials=3)
    client = caught_up()
    assert [run.status for _, run in sorted(trial_runs(client, "stopped").items())] == ["completed", "killed"]
    assert client.get_pipeline_run("optuna").status == "killed"


def test_several_directions_ask_and_tell_and_a_run_around(stack: EmbeddedStack) -> None:
    study = optuna.create_study(study_name="two", directions=["minimize", "maximize"])
    study.set_metric_names(["loss", "gain"])
    with run_context("nightly") as nightly, RunloreCallback(study) as callback:
        for number in range(3):
            trial = study.ask()
            trial.suggest_int("depth", 1, 9)
            callback(study, study.tell(trial, [number, -number]))
    client = caught_up()
    runs = assert_same(client, study)
    assert [run.metadata["metrics"] for _, run in sorted(runs.items())] == [
        {"loss": float(number), "gain": -float(number)} for number in range(3)
    ]
    whole = client.get_pipeline_run(callback.run_id)
    assert whole.fields["parent"] == f"run:{nightly.run_id}"
    assert whole.metadata["best_trials"] == [0]


def test_without_nats_a_study_goes_on_and_its_events_wait(data: DataDir) -> None:
    producer.configure()
    study = optuna.create_study()
    optimize(study, lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert len(study.trials) == 3
    (outbox,) = outbox_status(data)
    assert outbox.waiting == 3 + 3 * 3
    producer.configure(mode="disabled")


def test_what_goes_wrong_on_our_side_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "blocked").write_text("a file where the data folder should be")
    producer.configure(data_dir=tmp_path / "blocked" / "data")
    study = optuna.create_study()
    with caplog.at_level(logging.WARNING, "runlore"):
        optimize(study, lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert len(study.trials) == 3
    (warning,) = [record.message for record in caplog.records if record.name == "runlore"]
    assert "Optuna is not recorded" in warning
    producer.configure(mode="disabled")


def test_the_page_is_true(stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_section("Optuna", tmp_path)
