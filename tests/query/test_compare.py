from __future__ import annotations

from pathlib import Path

from runlore.schemas import RunStarted
from tests.events import LogBuilder
from tests.query.views import client_of


def test_parameters_of_runs_are_compared_as_well_and_none_is_best(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        for number, rate in ((1, 0.1), (2, 0.01)):
            log.add(RunStarted("train", f"t{number}", None, {"lr": rate, "seed": 7, "odd name": "x"}), run=f"r{number}")
            log.log(f"run:r{number}", {"accuracy": number / 10})

    client = client_of(tmp_path, write)
    table = client.compare(["run:r1", "run:r2"], best="max")
    rows = {row.path: (row.values, row.differs, row.best) for row in table.rows}
    assert rows == {
        "accuracy": ((0.1, 0.2), True, (1,)),
        "parameters.lr": ((0.1, 0.01), True, ()),
        "parameters.seed": ((7, 7), False, ()),
        "parameters.odd name": (("x", "x"), False, ()),
    }
    assert [row.path for row in table.rows][:2] == ["accuracy", "parameters.lr"]
    changed = client.diff("run:r1", "run:r2").only("changed")
    assert [(item.path, item.before, item.after) for item in changed] == [
        ("accuracy", 0.1, 0.2), ("parameters.lr", 0.1, 0.01),
    ]  # fmt: skip
