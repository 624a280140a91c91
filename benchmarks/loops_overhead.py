"""What recording adds to a training: the same small training with the host's own bookkeeping only, and with Runlore.

Measures the hosts that are installed: `.venv-adapters/xgboost/bin/python -m benchmarks.loops_overhead` after
`make test-adapter NAME=xgboost`. The trainings are small on purpose: a round of them takes milliseconds.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import runlore.producer as producer
from benchmarks.common import data_folder, figure

ROUNDS = 5
Training = Callable[[bool], Any]
"""Train once; recorded or not."""


def _data() -> tuple[Any, Any]:
    from sklearn.datasets import load_breast_cancer

    rows, kinds = load_breast_cancer(return_X_y=True)
    return rows / rows.max(axis=0), kinds


def _callbacks(host: str, recorded: bool) -> list[Any]:
    return [import_module(f"runlore.integrations.{host}").RunloreCallback()] if recorded else []


def _sklearn() -> Training:
    from sklearn.neural_network import MLPClassifier

    from runlore.integrations.sklearn import autolog

    rows, kinds = _data()

    def train(recorded: bool) -> None:
        autolog(disable=not recorded)
        MLPClassifier((32,), max_iter=50, random_state=1).fit(rows, kinds).score(rows, kinds)

    return train


def _optuna() -> Training:
    optuna: Any = import_module("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    from runlore.integrations.optuna import optimize

    def objective(trial: Any) -> float:
        x = trial.suggest_float("x", -1, 1)
        for step in range(5):
            trial.report(x * step, step)
        return float(x**2)

    def train(recorded: bool) -> None:
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
        if recorded:
            optimize(study, objective, n_trials=50)
        else:
            study.optimize(objective, n_trials=50)

    return train


def _xgboost() -> Training:
    xgboost: Any = import_module("xgboost")
    rows = xgboost.DMatrix(*_data())
    options = {"objective": "binary:logistic", "nthread": 1}

    def train(recorded: bool) -> None:
        callbacks = _callbacks("xgboost", recorded)
        xgboost.train(options, rows, 100, evals=[(rows, "train")], verbose_eval=False, callbacks=callbacks)

    return train


def _lightgbm() -> Training:
    lightgbm: Any = import_module("lightgbm")
    rows, kinds = _data()
    options = {"objective": "binary", "num_threads": 1, "verbose": -1}

    def train(recorded: bool) -> None:
        data, told = lightgbm.Dataset(rows, kinds), dict[str, Any]()
        callbacks = [lightgbm.record_evaluation(told), *_callbacks("lightgbm", recorded)]
        lightgbm.train(options, data, 100, [data], ["train"], callbacks=callbacks)
        for callback in callbacks[1:]:
            callback.end()

    return train


def _keras() -> Training:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras: Any = import_module("keras")
    rows, kinds = _data()

    def train(recorded: bool) -> None:
        model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(1, activation="sigmoid")])
        model.compile(optimizer="sgd", loss="binary_crossentropy")
        model.fit(rows, kinds, epochs=10, verbose=0, callbacks=_callbacks("keras", recorded))

    return train


def _lightning() -> Training:
    pl: Any = import_module("lightning.pytorch")
    torch: Any = import_module("torch")
    loggers: Any = import_module("lightning.pytorch.loggers")
    from runlore.integrations.lightning import RunloreLogger

    class Module(pl.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(30, 1)

        def training_step(self, batch: Any, index: int) -> Any:
            loss = self.layer(batch).pow(2).mean()
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.01)

    data = torch.utils.data.DataLoader(torch.tensor(_data()[0], dtype=torch.float32), batch_size=57)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}

    def train(recorded: bool) -> None:
        own = loggers.CSVLogger(os.environ["RUNLORE_DATA_DIR"])
        logger = [own, RunloreLogger()] if recorded else [own]
        pl.Trainer(max_epochs=10, logger=logger, accelerator="cpu", log_every_n_steps=1, **quiet).fit(Module(), data)

    return train


def _transformers() -> Training:
    host: Any = import_module("transformers")
    torch: Any = import_module("torch")
    config = host.BertConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    rows = [{"input_ids": torch.arange(32), "labels": torch.tensor(number % 2)} for number in range(400)]

    def train(recorded: bool) -> None:
        args = host.TrainingArguments(
            os.environ["RUNLORE_DATA_DIR"], num_train_epochs=1, logging_steps=1, report_to=[], disable_tqdm=True,
            use_cpu=True, save_strategy="no",
        )  # fmt: skip
        model = host.BertForSequenceClassification(config)
        trainer = host.Trainer(model, args, train_dataset=rows, callbacks=_callbacks("transformers", recorded))
        trainer.remove_callback(host.PrinterCallback)
        trainer.train()

    return train


HOSTS: dict[str, tuple[str, Callable[[], Training]]] = {
    "sklearn": ("scikit-learn, MLP of 50 epochs", _sklearn),
    "optuna": ("Optuna, 50 trials of 5 reports", _optuna),
    "xgboost": ("XGBoost, 100 rounds", _xgboost),
    "lightgbm": ("LightGBM, 100 rounds", _lightgbm),
    "lightning": ("Lightning, 100 steps", _lightning),
    "transformers": ("transformers, 50 steps", _transformers),
    "keras": ("Keras, 10 epochs", _keras),
}


def _seconds(train: Training, recorded: bool) -> tuple[float, float]:
    """CPU, of all threads of this process, and wall time."""
    began, cpu = time.perf_counter(), time.process_time()
    train(recorded)
    return time.process_time() - cpu, time.perf_counter() - began


def main() -> None:
    warnings.simplefilter("ignore")
    with data_folder() as folder:
        os.environ["RUNLORE_DATA_DIR"] = str(folder)
        producer.configure(mode="offline")
        for host, (title, prepare) in HOSTS.items():
            if find_spec(host) is None:
                continue
            train = prepare()
            _seconds(train, True)
            rounds = [(_seconds(train, False), _seconds(train, True)) for _ in range(ROUNDS)]  # interleaved
            (plain, wall), (recorded, recorded_wall) = (min(found) for found in zip(*rounds, strict=True))
            shown = (
                f"CPU {plain * 1e3:.0f} -> {recorded * 1e3:.0f} ms, {wall * 1e3:.0f} -> {recorded_wall * 1e3:.0f} ms"
            )
            figure(title, shown, f"CPU x{recorded / plain:.2f}")


if __name__ == "__main__":
    main()
