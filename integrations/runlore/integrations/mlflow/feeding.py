"""The thread that feeds MLflow the runs of this process. What it does not get done, `runlore feed mlflow` does."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from runlore.integrations.mlflow.feed import Feeder
from runlore.integrations.mlflow.recorder import end_active_runs
from runlore.producer import default_producer
from runlore.query import Client

logger = logging.getLogger("runlore")
PAUSE_SECONDS = 1.0
AWAY_SECONDS = 10.0
"""Between two attempts while MLflow, or Runlore's read side, does not answer."""
END_SECONDS = 5.0
"""The end of the process waits for MLflow, at most, and only where it answers."""


class Feeding:
    """Feeds runs until they have ended. It starts with the first run, and warns once while MLflow is away."""

    def __init__(self, uri: str, folder: Path) -> None:
        self._uri, self._folder = uri, folder
        self._open: list[str] = []
        self._work = threading.Condition()
        self._thread: threading.Thread | None = None
        self._away = self._warned = self._ending = False

    def want(self, run_id: str) -> None:
        """Feed a run that was just made."""
        with self._work:
            self._open.append(run_id)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="runlore-mlflow", daemon=True)
                self._thread.start()
                atexit.register(self._end)

    def _loop(self) -> None:
        make: Callable[[], Feeder] = self._feeder
        feeder: Feeder | None = None
        while True:
            try:
                feeder = feeder or make()
                self._feed(feeder)
                self._away = False
            except Exception as error:  # noqa: BLE001 -- the supervised boundary: whatever MLflow raises, it is tried again
                self._failed(error)
            with self._work:
                self._work.notify_all()
                self._work.wait(0.05 if self._ending else AWAY_SECONDS if self._away else PAUSE_SECONDS)

    def _feeder(self) -> Feeder:
        settings = default_producer().settings
        return Feeder(self._uri, Client(settings.url or settings.data_dir, settings.project), self._folder)

    def _feed(self, feeder: Feeder) -> None:
        with self._work:
            runs = list(self._open)
        done = set(feeder.feed(runs))
        with self._work:
            self._open = [run_id for run_id in self._open if run_id not in done]

    def _failed(self, error: Exception) -> None:
        self._away = True
        if not self._warned:
            self._warned = True
            logger.warning(
                "runlore: MLflow cannot be fed now: %s: %s. Runs are safe in Runlore, and MLflow gets them when it "
                "answers, at the latest by `runlore feed mlflow`",
                type(error).__name__,
                error,
            )

    def _end(self) -> None:
        """Wait for what is under way, while MLflow answers. The runs themselves end before."""
        end_active_runs()
        deadline = time.monotonic() + END_SECONDS
        with self._work:
            self._ending = True
            self._work.notify_all()
            while self._open and not self._away and time.monotonic() < deadline:
                self._work.wait(0.1)
