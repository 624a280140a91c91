"""Keras's callback: each epoch's logs are those of the history that `fit` returns."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loop_tools import INTERRUPT, caught_up, parameters, points, run_section, script

import runlore.producer as producer
from runlore.cli.stack import EmbeddedStack
from runlore.producer import outbox_status, step_context
from runlore.store.folder import DataDir

os.environ.setdefault("KERAS_BACKEND", "torch")
keras: Any = pytest.importorskip("keras")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("keras")]

from runlore.integrations.keras import RunloreCallback  # noqa: E402

ROWS = np.random.default_rng(1).normal(size=(32, 3)).astype("float32")
KINDS = (ROWS.sum(axis=1) > 0).astype("float32")


def model() -> Any:
    found = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")], name="tiny")
    found.compile(optimizer=keras.optimizers.SGD(0.5), loss="binary_crossentropy", metrics=["accuracy"])
    return found


def told(history: Any) -> dict[str, list[tuple[int, float]]]:
    return {name: list(zip(history.epoch, values, strict=True)) for name, values in history.history.items()}


def test_logs_of_each_epoch_are_those_of_the_history(stack: EmbeddedStack) -> None:
    callback, tiny = RunloreCallback("cancer", group="nets"), model()
    history = tiny.fit(ROWS, KINDS, epochs=4, validation_split=0.25, verbose=0, callbacks=[callback])
    run = caught_up().get_pipeline_run(callback.run_id)
    assert (run.status, run.pipeline, run.fields["group"]) == ("completed", "cancer", "nets")
    assert points(run) == told(history)
    found = parameters(run)
    assert (found["epochs"], found["loss"], found["model"], found["weights"]) == (4, "binary_crossentropy", "tiny", 4)
    assert found["optimizer"]["learning_rate"] == 0.5


def test_inside_a_step_the_logs_are_the_steps(stack: EmbeddedStack) -> None:
    callback = RunloreCallback()
    with step_context("train"):
        history = model().fit(ROWS, KINDS, epochs=2, initial_epoch=0, verbose=0, callbacks=[callback])
    run = caught_up().get_pipeline_run(callback.run_id)
    assert points(run.steps["train"]) == told(history)


PROGRAM = f"""
import numpy, keras
from runlore.integrations.keras import RunloreCallback
model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
model.compile(loss="mse")
def stop(epoch, logs):
    if epoch == 1:
        {INTERRUPT}
callbacks = [RunloreCallback(), keras.callbacks.LambdaCallback(on_epoch_end=stop)]
model.fit(numpy.ones((4, 1)), numpy.ones(4), epochs=5, verbose=0, callbacks=callbacks)
"""


def test_an_interrupted_script_was_killed(stack: EmbeddedStack, tmp_path: Path) -> None:
    done = script(PROGRAM, tmp_path, KERAS_BACKEND="torch")
    assert "KeyboardInterrupt" in done.stderr
    run = caught_up().get_pipeline_run("keras")
    assert (run.status, len(run.history("metrics.loss"))) == ("killed", 2)


def test_without_nats_a_training_goes_on_and_its_events_wait(data: DataDir) -> None:
    producer.configure()
    model().fit(ROWS, KINDS, epochs=2, verbose=0, callbacks=[RunloreCallback()])
    (outbox,) = outbox_status(data)
    assert outbox.waiting == 5
    producer.configure(mode="disabled")


def test_the_page_is_true(stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_section("Keras", tmp_path)
