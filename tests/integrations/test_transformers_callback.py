"""transformers' callback: what it is told is the trainer's own log history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from loop_tools import INTERRUPT, caught_up, parameters, points, run_section

import runlore.producer as producer
from runlore.cli.stack import EmbeddedStack
from runlore.producer import outbox_status
from runlore.store.folder import DataDir

transformers: Any = pytest.importorskip("transformers")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("transformers")]

import torch  # noqa: E402

from runlore.integrations.transformers import RunloreCallback  # noqa: E402

ROWS = [{"input_ids": torch.arange(6) % 5, "labels": torch.tensor(number % 2)} for number in range(8)]


def trainer(folder: Path, *callbacks: Any, **options: Any) -> Any:
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4
    )
    given = {"num_train_epochs": 2, "logging_steps": 1, "per_device_train_batch_size": 4, "report_to": [],
             "disable_tqdm": True, "use_cpu": True, "hub_token": "hf_abcdefghijklmnopqrstuvwxyz0123456789", **options}  # fmt: skip
    args = transformers.TrainingArguments(str(folder), **given)
    model = transformers.BertForSequenceClassification(config)
    return transformers.Trainer(model, args, train_dataset=ROWS, eval_dataset=ROWS, callbacks=list(callbacks))


def history(found: Any) -> dict[str, list[tuple[int, float]]]:
    told: dict[str, list[tuple[int, float]]] = {}
    for line in found.state.log_history:
        for name, value in line.items():
            if name != "step":
                told.setdefault(name, []).append((line["step"], value))
    return told


def test_metrics_are_the_trainers_own_history(stack: EmbeddedStack, tmp_path: Path) -> None:
    callback = RunloreCallback("reviews", group="nets")
    found = trainer(tmp_path, callback, eval_strategy="epoch")
    found.train()
    found.evaluate(metric_key_prefix="after")
    run = caught_up().get_pipeline_run(callback.run_id)
    assert (run.status, run.pipeline, run.fields["group"]) == ("completed", "reviews", "nets")
    theirs, ours = history(found), points(run)
    assert ours.pop("epoch")[0] == theirs.pop("epoch")[0]
    assert ours == theirs
    assert {"loss", "eval_loss", "learning_rate", "train_runtime", "after_loss"} <= set(ours)
    told = parameters(run)
    assert (told["learning_rate"], told["num_train_epochs"]) == (found.args.learning_rate, 2)
    assert "hf_abc" not in str(told)
    assert run.metadata["model"]["class"] == "BertForSequenceClassification"
    assert run.metadata["model"]["config"]["hidden_size"] == 4


class Interrupts(transformers.TrainerCallback):  # type: ignore[misc]
    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        exec(INTERRUPT)


def test_an_interrupt_inside_with_kills_the_run_and_goes_on(stack: EmbeddedStack, tmp_path: Path) -> None:
    callback = RunloreCallback()
    with pytest.raises(KeyboardInterrupt), callback:
        trainer(tmp_path, callback, Interrupts()).train()
    assert caught_up().get_pipeline_run(callback.run_id).status == "killed"


def test_without_nats_a_training_goes_on_and_its_events_wait(data: DataDir, tmp_path: Path) -> None:
    producer.configure()
    trainer(tmp_path, RunloreCallback(), max_steps=2).train()
    (outbox,) = outbox_status(data)
    assert outbox.waiting >= 6
    producer.configure(mode="disabled")


def test_the_page_is_true(stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_section("transformers", tmp_path)
