from __future__ import annotations

import datetime as dt
import importlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from runlore.query import parse_when
from runlore.schemas.errors import MomentError, RunloreError

NOW = dt.datetime(2026, 11, 24, 12, 30, tzinfo=dt.UTC)  # a Tuesday


@pytest.fixture(params=["UTC", "America/New_York", "Europe/Berlin"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def local(*parts: int) -> dt.datetime:
    return dt.datetime(*parts).astimezone()  # type: ignore[arg-type, misc]  # year to minute


@pytest.mark.usefixtures("zone")
def test_positions_iso_times_and_phrases_are_understood_in_local_time() -> None:
    hours = dt.timedelta(hours=1)
    day = NOW.astimezone().date()
    yesterday = day - dt.timedelta(days=1)
    assert parse_when("1234") == 1234
    assert parse_when(" 20260301 ") == 20260301  # digits are a position, whatever they look like
    assert parse_when("2026-03-01T18:00") == local(2026, 3, 1, 18)
    assert parse_when("2026-03-01") == local(2026, 3, 1)
    assert parse_when("2026-03-01T18:00Z") == dt.datetime(2026, 3, 1, 18, tzinfo=dt.UTC)
    assert parse_when("2h ago", NOW) == NOW - 2 * hours
    assert parse_when("1h30m ago", NOW) == NOW - 1.5 * hours
    assert parse_when("90 seconds ago", NOW) == NOW - hours / 40
    assert parse_when("yesterday 18:00", NOW) == local(yesterday.year, yesterday.month, yesterday.day, 18)
    assert parse_when("1 month ago", NOW) == NOW.replace(month=10)
    assert parse_when("march 3 2026 18:00 UTC", NOW) == dt.datetime(2026, 3, 3, 18, tzinfo=dt.UTC)
    assert parse_when("last tuesday", NOW) == local(2026, 11, 17)
    assert parse_when("monday 10:00", NOW) == local(2026, 11, 23, 10)
    assert parse_when("18:00", NOW) == local(2026, 11, 23, 18)
    assert parse_when("now", NOW) == NOW


@pytest.mark.parametrize(
    ("phrase", "output"),
    [
        ("03/04/2026", "ambiguous"),  # April or March
        ("may", "ambiguous"),  # which day
        ("tuesday", "ambiguous"),  # today or last week's, said on a Tuesday
        ("tomorrow", "future"),
        ("in 2 hours", "future"),
        ("lunch", "no event number or time"),
        ("", "no event number or time"),
        ("week ago", "no event number or time"),
    ],
)
def test_a_phrase_that_is_ambiguous_in_the_future_or_no_time_is_refused(phrase: str, output: str) -> None:
    with pytest.raises(MomentError, match=output):
        parse_when(phrase, NOW)


def test_hours_ago_are_real_hours_and_a_repeated_local_hour_is_ambiguous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        after = dt.datetime(2026, 10, 25, 1, 30, tzinfo=dt.UTC)  # 02:30, for the second time
        assert parse_when("2h ago", after) == after - dt.timedelta(hours=2)
        for text in ("2026-10-25 02:30", "2026-03-29T02:30"):
            with pytest.raises(MomentError, match="clocks were changed"):
                parse_when(text)
        assert parse_when("2026-10-25T02:30+01:00") == after
    finally:
        monkeypatch.undo()
        time.tzset()


def test_dateparser_is_loaded_for_phrases_only_and_its_absence_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from runlore.query import parse_when\n"
        "parse_when('7'); parse_when('2026-03-01T18:00'); print('dateparser' in sys.modules)\n"
        "parse_when('2h ago'); print('dateparser' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90)
    assert done.stdout.split() == ["False", "True"], done.stderr

    def absent(name: str, *_: Any) -> Any:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(RunloreError, match=r"runlore\[query\]"):
        parse_when("2h ago")
