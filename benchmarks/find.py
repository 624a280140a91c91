"""Finding 20 of 100,000 entities by their values, with and without selective conditions."""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

from benchmarks.common import data_folder, figure
from benchmarks.folding import EPOCH, messages, new_view
from runlore.projector.archiving.archive import Archive, ArchiveReader
from runlore.projector.views.rebuild import fold_log
from runlore.query import Client
from runlore.store.folder import DataDir

ENTITIES = 100_000
PAST = 20_000
"""Older events of the same keys, so that latest and past values differ."""

QUESTIONS: tuple[tuple[str, str | None, dict[str, Any]], ...] = (
    ("two conditions, one selective", "metrics.accuracy > 0.99 and framework = 'sklearn'", {}),
    ("two conditions, each true for half", "metrics.accuracy > 0.5 and framework = 'sklearn'", {}),
    ("two conditions, 5 % each", "metrics.accuracy > 0.95 and epoch < 25000", {}),
    ("two conditions, bounds of one key", "metrics.accuracy > 0.5 and metrics.accuracy <= 0.5001", {}),
    ("one condition on a string", "tag = 'tag-77777'", {}),
    ("no value fits (0 found)", "metrics.accuracy > 2 and framework = 'sklearn'", {}),
    ("no condition", None, {}),
    ("ordered by a key", None, {"order_by": "metrics.accuracy", "descending": True}),
    ("ordered by a key, two conditions", "metrics.accuracy < 0.5 and framework = 'torch'", {"order_by": "metrics.accuracy", "descending": True}),
    ("ordered by a string key", "framework = 'sklearn'", {"order_by": "tag"}),
    ("ever", "ever(metrics.accuracy > 0.999) and metrics.accuracy < 0.5", {}),
    ("as of half the log, two conditions", "metrics.accuracy > 0.99 and framework = 'sklearn'", {"as_of": ENTITIES // 2}),
    ("as of half the log, ordered by a key", "framework = 'sklearn'", {"as_of": ENTITIES // 2, "order_by": "metrics.loss"}),
    ("not selective, rarely true together (walks everything)", "metrics.accuracy > 0.5 and not metrics.accuracy > 0.5001", {}),
    ("no index can help: contains", "tag contains '7777'", {}),
    ("ordered by a field of the entity (sorts everything)", None, {"order_by": "name"}),
)  # fmt: skip


def _values(number: int) -> dict[str, Any]:
    return {
        "metrics": {"accuracy": random.random(), "loss": random.random()},
        "epoch": number,
        "framework": ("sklearn", "torch")[number % 2],
        "tag": f"tag-{number}",
    }


def _build(data: DataDir) -> None:
    random.seed(7)
    archive = Archive.open(data.log, EPOCH)
    batch = []
    for message in messages(ENTITIES + PAST, ENTITIES, values=_values):
        batch.append(message)
        if len(batch) == 4000:
            archive.append(batch)
            batch = []
    archive.append(batch)
    archive.close()
    view = new_view(data)
    fold_log(ArchiveReader(data.log), view)
    view.close()


def main() -> None:
    with data_folder() as folder:
        data = DataDir(folder)
        _build(data)
        with Client(folder) as client:
            for label, where, options in QUESTIONS:
                taken = []
                found = client.find("artifact", where, limit=20, **options)
                for _ in range(15):
                    started = time.perf_counter()
                    client.find("artifact", where, limit=20, **options)
                    taken.append(time.perf_counter() - started)
                figure(
                    f"{label}, p50",
                    f"{statistics.median(taken) * 1e3:.2f} ms",
                    f"{len(found)} found" + (", target 20 ms" if label.startswith("two conditions") else ""),
                )
