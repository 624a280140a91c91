"""Step: train one kind of classifier, in a separate process, and log every epoch."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from workspace import Split, file_facts, load_split, save_model

from runlore.producer import log_artifact_metadata, log_step_metadata, step_context, use_artifact

Settings = dict[str, Any]
Epochs = Iterator[Any]
"""A trainer yields its model after every epoch."""


def logistic_regression(split: Split, settings: Settings) -> Epochs:
    """Stochastic gradient descent on log loss; an epoch is one pass over the rows."""
    scaler = MinMaxScaler().fit(split.train_x)
    model = SGDClassifier(loss="log_loss", alpha=settings["alpha"], average=True, random_state=settings["seed"])
    for _ in range(settings["epochs"]):
        model.partial_fit(scaler.transform(split.train_x), split.train_y, classes=range(10))
        yield make_pipeline(scaler, model)


def random_forest(split: Split, settings: Settings) -> Epochs:
    """A forest that grows; an epoch adds some trees."""
    model = RandomForestClassifier(max_depth=settings["max_depth"], warm_start=True, random_state=settings["seed"])
    for epoch in range(1, settings["epochs"] + 1):
        model.set_params(n_estimators=epoch * settings["trees_an_epoch"])
        yield model.fit(split.train_x, split.train_y)


def gradient_boosting(split: Split, settings: Settings) -> Epochs:
    """Boosted shallow trees; an epoch adds one round."""
    model = GradientBoostingClassifier(
        learning_rate=settings["learning_rate"], max_depth=2, subsample=0.5, warm_start=True,
        max_features="sqrt", random_state=settings["seed"],
    )  # fmt: skip
    for epoch in range(1, settings["epochs"] + 1):
        model.set_params(n_estimators=epoch)
        yield model.fit(split.train_x, split.train_y)


TRAINERS: dict[str, Callable[[Split, Settings], Epochs]] = {
    trainer.__name__: trainer for trainer in (logistic_regression, random_forest, gradient_boosting)
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=TRAINERS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--settings", type=json.loads, required=True, help="hyperparameters as JSON")
    options = parser.parse_args()
    with step_context(f"train_{options.kind}"):
        use_artifact("digits")
        split = load_split(options.folder)
        log_step_metadata({"hyperparameters": options.settings})
        started = time.monotonic()
        model: Any = None
        for epoch, model in enumerate(TRAINERS[options.kind](split, options.settings), 1):
            log_epoch(epoch, model, split)
        path = save_model(options.folder, options.kind, model)
        log_artifact_metadata(
            {
                **file_facts(path),
                "framework": "sklearn",
                "estimator": type(model).__qualname__,
                "training_time": timedelta(seconds=time.monotonic() - started),
            },
            artifact_name=options.kind,
        )


def log_epoch(epoch: int, model: Any, split: Split) -> None:
    """Each epoch replaces the group `training`; the history of `training.loss` is the learning curve."""
    probabilities = model.predict_proba(split.train_x)
    loss = log_loss(split.train_y, probabilities, labels=range(10))
    accuracy = accuracy_score(split.train_y, probabilities.argmax(axis=1))
    log_step_metadata({"training": {"epoch": epoch, "loss": loss, "accuracy": accuracy}})


if __name__ == "__main__":
    main()
