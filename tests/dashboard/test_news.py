"""What listeners are told: every event once, also after a look at the view that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from runlore.dashboard.live import Live, News
from runlore.schemas.errors import QueryTimeoutError
from runlore.schemas.layout import DataDir
from tests.dashboard.demo_log import write_demo
from tests.events import LogBuilder
from tests.query.views import client_of


def test_a_look_that_fails_loses_no_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_slow(*_: object) -> list[str]:
        raise QueryTimeoutError("took too long")

    log = LogBuilder()

    def keep(builder: LogBuilder) -> None:
        write_demo(builder)
        log.rows = builder.rows

    live = Live(client_of(tmp_path, keep))
    assert live.news() is not None
    assert live.news() is None
    known = len(log.rows)
    log.log("model:churn@1", {"fresh": 1})
    log.fold_into(DataDir(tmp_path).current_view(), after=known).close()
    with monkeypatch.context() as busy:
        busy.setattr("runlore.dashboard.live.touched", too_slow)
        with pytest.raises(QueryTimeoutError):
            live.news()
    assert live.news() == News(known + 1, None, ["model:churn@1"], all=False)
    assert live.news() is None
