"""Lightning's logger: what it is told is what Lightning's own CSV logger writes, step by step."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from loop_tools import INTERRUPT, caught_up, parameters, points, run_section, script

import runlore.producer as producer
from runlore.cli.stack import EmbeddedStack
from runlore.producer import outbox_status
from runlore.store.folder import DataDir

pl: Any = pytest.importorskip("lightning.pytorch")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("lightning")]

import torch  # noqa: E402
from lightning.pytorch.loggers import CSVLogger  # noqa: E402

from runlore.integrations.lightning import RunloreLogger  # noqa: E402

QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1}


class Module(pl.LightningModule):  # type: ignore[misc]
    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: Any, index: int) -> Any:
        loss = self.layer(batch[0]).pow(2).mean()
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", self.layer(batch[0]).pow(2).mean())

    def test_step(self, batch: Any, index: int) -> None:
        self.log("test_loss", self.layer(batch[0]).pow(2).mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), self.hparams.lr)


def rows() -> Any:
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(12, 2)), batch_size=4)


def written(folder: str) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    with (Path(folder) / "metrics.csv").open() as file:
        for line in csv.DictReader(file):
            for name, text in line.items():
                if text and name not in ("step", "epoch"):
                    found.setdefault(name, []).append((int(line["step"]), float(text)))
    return found


def test_metrics_are_those_that_lightnings_own_logger_writes(stack: EmbeddedStack, tmp_path: Path) -> None:
    ours, theirs = RunloreLogger("churn", group="nets", tags=["cpu"]), CSVLogger(tmp_path)
    trainer = pl.Trainer(max_epochs=3, logger=[ours, theirs], default_root_dir=tmp_path, **QUIET)
    module = Module(lr=0.05)
    trainer.fit(module, rows(), rows())
    trainer.test(module, rows(), verbose=False)
    run = caught_up().get_pipeline_run(ours.run_id)
    assert (run.status, run.pipeline, run.fields["group"], run.tags) == ("completed", "churn", "nets", ["cpu"])
    found = points(run)
    epochs = found.pop("epoch")
    assert found == written(theirs.log_dir)
    assert {"loss", "val_loss", "test_loss"} == set(found)
    assert epochs
    assert parameters(run)["lr"] == 0.05
    assert run.metadata["checkpoint"]["best"] == trainer.checkpoint_callback.best_model_path
    assert (ours.name, ours.version) == ("churn", run.id)


class BrokenModule(Module):
    def on_train_epoch_end(self) -> None:
        raise ValueError("broken")


def test_an_error_fails_the_run_and_is_raised(stack: EmbeddedStack, tmp_path: Path) -> None:
    logger = RunloreLogger()
    with pytest.raises(ValueError, match="broken"):
        pl.Trainer(max_epochs=3, logger=logger, default_root_dir=tmp_path, **QUIET).fit(BrokenModule(), rows())
    run = caught_up().get_pipeline_run(logger.run_id)
    assert (run.status, run.fields["error_type"]) == ("failed", "ValueError")


PROGRAM = f"""
import torch, lightning.pytorch as pl
from runlore.integrations.lightning import RunloreLogger

class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
    def training_step(self, batch, index):
        if RANKS == 1 and index == 2:
            {INTERRUPT}
        loss = self.layer(batch).pow(2).mean()
        self.log("loss", loss)
        return loss
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

if __name__ == "__main__":
    options = dict(accelerator="cpu", max_epochs=2, devices=RANKS, enable_progress_bar=False, enable_checkpointing=False)
    if RANKS > 1:
        options["strategy"] = "ddp"
    trainer = pl.Trainer(logger=RunloreLogger(), log_every_n_steps=1, **options)
    trainer.fit(Module(), torch.utils.data.DataLoader(torch.ones(8, 1), batch_size=2))
"""


def test_an_interrupted_training_was_killed(stack: EmbeddedStack, tmp_path: Path) -> None:
    script(PROGRAM.replace("RANKS", "1"), tmp_path)
    run = caught_up().get_pipeline_run("lightning")
    assert (run.status, len(run.history("metrics.loss"))) == ("killed", 2)


def test_two_processes_are_one_run(stack: EmbeddedStack, tmp_path: Path) -> None:
    done = script(PROGRAM.replace("RANKS", "2"), tmp_path)
    assert done.returncode == 0, done.stderr
    client = caught_up()
    (found,) = client.find("run", "")
    run = client.get_pipeline_run(found.id)
    assert (run.status, [step for step, _ in points(run)["loss"]]) == ("completed", [0, 1, 2, 3])


def test_without_nats_a_training_goes_on_and_its_events_wait(data: DataDir, tmp_path: Path) -> None:
    producer.configure()
    pl.Trainer(max_epochs=1, logger=RunloreLogger(), default_root_dir=tmp_path, **QUIET).fit(Module(), rows())
    (outbox,) = outbox_status(data)
    assert outbox.waiting >= 5
    producer.configure(mode="disabled")


def test_the_page_is_true(stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_section("PyTorch Lightning", tmp_path)
