"""Step: judge all candidates on the test rows, keep the best, and promote it if it beats production."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from workspace import Split, file_facts, load_model, load_split

from runlore.producer import (
    log_model_metadata,
    log_run_metadata,
    log_step_metadata,
    set_model_stage,
    step_context,
    use_artifact,
)
from runlore.query import Client
from runlore.schemas import NotFoundError

MODEL = "digits_classifier"


def judge(model: Any, split: Split) -> dict[str, float]:
    """Accuracy and macro averages, each in 0 to 1."""
    predicted = model.predict(split.test_x)
    precision, recall, f1, _ = precision_recall_fscore_support(split.test_y, predicted, average="macro")
    accuracy = float(accuracy_score(split.test_y, predicted))
    return {"accuracy": accuracy, "precision": float(precision), "recall": float(recall), "f1": float(f1)}


def production_accuracy() -> float | None:
    """Return the accuracy of the model in production, read back from Runlore; None if there is none."""
    try:
        with Client() as client:
            metrics = client.get_model_version(MODEL, "production").metadata["evaluation_metrics"]
    except NotFoundError:
        return None
    return float(metrics["accuracy"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--candidates", type=json.loads, required=True, help="settings by kind, as JSON")
    options = parser.parse_args()
    with step_context("evaluate"):
        use_artifact("digits")
        split = load_split(options.folder)
        for kind in options.candidates:
            use_artifact(kind)
        scores = {kind: judge(load_model(options.folder, kind), split) for kind in options.candidates}
        log_step_metadata({"test_accuracy": {kind: score["accuracy"] for kind, score in scores.items()}})
        best = max(scores, key=lambda kind: scores[kind]["accuracy"])
        log_model_metadata(
            {
                "evaluation_metrics": scores[best],
                "hyperparameters": options.candidates[best],
                "file": file_facts(options.folder / f"{best}.joblib"),
                "algorithm": best,
                "customer": "acme",
                "intended_use": {"reads digits", "single characters"},
            }
        )
        promote(scores[best]["accuracy"])
        log_run_metadata({"winner": best, "test_accuracy": scores[best]["accuracy"]})


def promote(accuracy: float) -> None:
    """Every winner goes to staging; into production goes what is better than the model there."""
    before = production_accuracy()
    if before is None or accuracy > before:
        reason = "first model" if before is None else f"{accuracy:.3f} beats {before:.3f}"
        set_model_stage(MODEL, "production", reason=reason)
    else:
        set_model_stage(MODEL, "staging", reason=f"{accuracy:.3f} does not beat {before:.3f}")


if __name__ == "__main__":
    main()
