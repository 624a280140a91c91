"""Searches over parameters: the best candidates become runs, parts of the search's."""

from __future__ import annotations

from typing import Any

from runlore.integrations.storable import scalar, storable
from runlore.integrations.training import Training
from runlore.producer import log_metadata, run_context


def record_search(training: Training, search: Any, most: int) -> None:
    """Record what a search found, and its `most` best candidates."""
    results: dict[str, Any] = search.cv_results_
    best: Any = getattr(search, "best_params_", None)
    count = len(results["params"])
    training.log({"best_parameters": storable(best), "search": {"candidates": count, "recorded": min(count, most)}})
    if training.run_id is not None:
        for index in _best(results, count)[:most]:
            _record_candidate(training.run_id, search, results, index)


def _best(results: dict[str, Any], count: int) -> list[int]:
    """Candidates by their rank; by that of the first measure, if there are several."""
    ranks: Any = next((ranks for name, ranks in results.items() if name.startswith("rank_test_")), range(count))
    return sorted(range(count), key=lambda index: int(ranks[index]))


def _record_candidate(parent: str, search: Any, results: dict[str, Any], index: int) -> None:
    pipeline = type(search.estimator).__name__
    parameters = storable(results["params"][index])
    measured = {name: scalar(values[index]) for name, values in results.items() if not name.startswith("param")}
    found = {name: value for name, value in measured.items() if value is not None}
    name = f"candidate-{index}"
    with run_context(pipeline, name=name, parent=parent, parameters=parameters, environment={}) as run:
        log_metadata({"metrics": found}, f"run:{run.run_id}")
