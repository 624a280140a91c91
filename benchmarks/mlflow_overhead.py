"""What recording adds to MLflow: the same calls on its SQLite store without Runlore, with `tee`, and with `first`.

Needs MLflow: `.venv-adapters/mlflow/bin/python -m benchmarks.mlflow_overhead` after `make test-adapter NAME=mlflow`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import runlore.producer as producer
from benchmarks.common import data_folder, figure

CALLS, BATCHES, EPOCHS, ROUNDS = 50, 10, 10, 4
ORDERS = ("plain", "tee", "first")


def _metrics(mlflow: Any) -> None:
    for step in range(CALLS):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)


def _batches(mlflow: Any) -> None:
    for step in range(BATCHES):
        mlflow.log_metrics({f"metric_{number}": float(number) for number in range(100)}, step=step)


def _training(mlflow: Any) -> None:
    """A small model whose epochs are logged, as a training loop does."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import SGDClassifier

    rows, digits = load_digits(return_X_y=True)
    model = SGDClassifier(loss="log_loss")
    for epoch in range(EPOCHS):
        for _ in range(3):
            model.partial_fit(rows, digits, classes=range(10))
        mlflow.log_metrics({"accuracy": model.score(rows, digits), "epoch": epoch}, step=epoch)


WORK: dict[str, tuple[Callable[[Any], None], int]] = {
    "log_metric": (_metrics, CALLS),
    "log_metrics of 100": (_batches, BATCHES),
    "small training": (_training, 1),
}


def _once(mlflow: Any, order: str, work: Callable[[Any], None], uri: str) -> tuple[float, float]:
    """Seconds and seconds of CPU, in a run of its own."""
    os.environ["RUNLORE_MLFLOW"] = "first" if order == "first" else "tee"
    producer.configure(mode="offline")
    mlflow.tracking._tracking_service.utils._tracking_store_registry._get_store_with_resolved_uri.cache_clear()
    mlflow.set_tracking_uri(uri if order == "plain" else f"runlore+{uri}")
    with mlflow.start_run():
        began, cpu = time.perf_counter(), time.process_time()
        work(mlflow)
        return time.perf_counter() - began, time.process_time() - cpu


def main() -> None:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    try:
        import mlflow
    except ModuleNotFoundError:
        print("  MLflow is not installed here; see benchmarks/mlflow_overhead.py")
        return
    with data_folder() as folder:
        uri = f"sqlite:///{Path(folder) / 'mlflow.db'}"
        for name, (work, calls) in WORK.items():
            best: dict[str, tuple[float, float]] = {}
            for _ in range(ROUNDS):  # interleaved: all suffer from the same neighbours
                for order in ORDERS:
                    best[order] = min(
                        best.get(order, (9e9, 9e9)), _once(mlflow, order, work, uri), key=lambda two: two[1]
                    )
            plain = best["plain"][1]
            for order in ORDERS:
                wall, cpu = best[order]
                shown = f"{wall / calls * 1e3:.2f} ms, CPU {cpu / calls * 1e3:.2f} ms"
                figure(f"{name}, {order}", shown, f"CPU x{cpu / plain:.2f}")


if __name__ == "__main__":
    main()
