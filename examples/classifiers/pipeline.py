"""Train three classifiers on handwritten digits, each in its own process, and keep the best.

    runlore up                                              # in one terminal
    python examples/classifiers/pipeline.py --name baseline # in another

Every step is a separate process: the context travels in environment variables (`run.env()`), so the
steps could also run on other machines.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from runlore.producer import Model, log_run_metadata, run_context
from runlore.query import Client

HERE = Path(__file__).parent


def start(step: str, *arguments: str, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a step as a child process that knows its run."""
    # One thread each: the workers share the machine.
    environ = {**os.environ, **environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, str(HERE / f"{step}.py"), *arguments], env=environ)


def finish(*steps: subprocess.Popen[bytes]) -> None:
    """Wait for all of them; a failed one fails the run."""
    codes = [step.wait() for step in steps]
    if any(codes):
        raise RuntimeError(f"a step ended with exit code {max(codes, key=abs)}")


def candidates(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The hyperparameters of each kind of classifier."""
    common = {"epochs": options.epochs, "seed": options.seed}
    return {
        "logistic_regression": {**common, "alpha": options.alpha},
        "random_forest": {**common, "trees_an_epoch": 4, "max_depth": options.max_depth},
        "gradient_boosting": {**common, "learning_rate": options.learning_rate},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", help="a name for the run")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--alpha", type=float, default=1e-4, help="regularisation of the logistic regression")
    parser.add_argument("--max-depth", type=int, default=4, help="of the random forest")
    parser.add_argument("--learning-rate", type=float, default=0.2, help="of the gradient boosting")
    parser.add_argument("--folder", type=Path, help="for files; else a new temporary one")
    options = parser.parse_args()
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="classifiers-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)

    chosen = candidates(options)
    model = Model("digits_classifier")
    with run_context("train_classifiers", name=options.name, model=model, parameters=chosen) as run:
        log_run_metadata({"dataset": "digits", "team": "vision", "settings": vars_of(options)})
        split = ("--test-share", "0.3", "--seed", str(options.seed))
        finish(start("load_data", str(folder), *split, environ=run.env()))
        finish(
            *(
                start("train", kind, str(folder), "--settings", json.dumps(settings), environ=run.env())
                for kind, settings in chosen.items()
            )
        )
        finish(start("evaluate", str(folder), "--candidates", json.dumps(chosen), environ=run.env()))
    receipt = log_run_metadata({"reviewed": False}, run_id=run.run_id)
    with Client() as client:
        client.wait_for(receipt)
    print(f"run {run.run_id} of train_classifiers completed; files in {folder}")


def vars_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that may differ between two runs."""
    return {name: getattr(options, name) for name in ("epochs", "seed", "alpha", "max_depth", "learning_rate")}


if __name__ == "__main__":
    main()
