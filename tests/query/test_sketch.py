"""A leaf's whole past for a chart: thinned so that no peak and no break of the line is lost."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path

import pytest

from runlore.query import Client
from runlore.query.page.sketch import Point, Sketch, sketch
from runlore.schemas.errors import NotFoundError
from runlore.schemas.events import MetadataRetracted
from runlore.schemas.references import parse_ref
from tests.events import LogBuilder
from tests.query.test_past import at, late_log
from tests.query.views import client_of

LONG = 4001
PEAK, DIP, TEXT, GONE = 1234, 2345, 3001, 3500


def write_long(log: LogBuilder) -> None:
    """Entries 1 to LONG, among them a peak, a dip, a text and a retraction, behind one event about another key."""
    log.log("model:m@1", {"other": 1})
    for entry in range(1, LONG + 1):
        if entry == GONE:
            log.add(MetadataRetracted((parse_ref("model:m@1"),), (("k",),), "measured wrongly"))
        else:
            value = {PEAK: 1e6, DIP: -1e6, TEXT: "n/a"}.get(entry, math.sin(entry / 50))
            log.log("model:m@1", {"k": value})


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return client_of(tmp_path_factory.mktemp("long"), write_long)


def by_entry(drawn: Sketch) -> dict[int, Point]:
    return {point.entry: point for point in drawn.points}


def test_a_long_past_keeps_ends_peaks_and_breaks_with_their_true_places(long: Client) -> None:
    drawn = sketch(long.get("model:m@1"), "k", 200)
    assert drawn.total == LONG - 2
    assert len([point for point in drawn.points if point.finite]) <= 203
    known = by_entry(drawn)
    assert [point.entry for point in drawn.points] == sorted(known)
    assert {1, PEAK, DIP, LONG} <= set(known)
    assert all(point.position == point.entry + 1 for point in drawn.points)
    assert drawn.times == [at(point.position).timestamp() for point in drawn.points]
    assert (known[PEAK].value, known[DIP].value) == (1e6, -1e6)
    assert (known[TEXT].type, known[TEXT].value) == ("str", None)
    assert (known[GONE].type, known[GONE].value) == ("retracted", None)
    # The number that was withdrawn is there too, to be marked.
    assert known[GONE - 1].value == math.sin((GONE - 1) / 50)


@pytest.mark.parametrize("points", [1, 2, 3, 7, 50, 1000])
def test_each_stretch_has_its_least_and_largest(long: Client, points: int) -> None:
    whole = sketch(long.get("model:m@1"), "k", LONG).points
    assert [point.entry for point in whole] == list(range(1, LONG + 1))
    kept = by_entry(sketch(long.get("model:m@1"), "k", points))
    assert all(kept[entry] == whole[entry - 1] for entry in kept)
    width = math.ceil(LONG / max(1, points // 2 - 1))
    for start in range(0, LONG, width):
        values = [point.value for point in whole[start : start + width] if point.value is not None]
        drawn = [kept[entry].value for entry in kept if start < entry <= start + width]
        numbers = [value for value in drawn if value is not None]
        assert (min(numbers), max(numbers)) == (min(values), max(values))


def test_a_short_past_is_whole_and_says_what_is_no_number(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        for value in (1, math.nan, 0.5, "n/a", math.inf, 10**400, Decimal("2.5")):
            log.log("model:m@1", {"k": value})

    model = client_of(tmp_path, write).get("model:m@1")
    drawn = sketch(model, "k", 7)
    assert [point.type for point in drawn.points] == ["int", "float", "float", "str", "float", "int", "decimal"]
    assert [point.finite for point in drawn.points] == [True, False, True, False, False, False, True]
    assert drawn.total == 6
    assert [point.entry for point in sketch(model.as_of(3), "k", 7).points] == [1, 2, 3]
    with pytest.raises(NotFoundError):
        sketch(model, "unknown", 7)


def test_a_moment_by_the_producers_clocks_counts_what_it_sees(tmp_path: Path) -> None:
    client_of(tmp_path, late_log)
    with Client(tmp_path, as_of=at(2), clock="occurred") as then:
        model = then.get("model:m")
        drawn, series = sketch(model, "accuracy", 100), model.series("accuracy")
        assert [point.position for point in drawn.points] == series.positions
        assert [point.value for point in drawn.points] == series.values
        assert drawn.times == series.times
        assert [point.entry for point in drawn.points] == list(range(1, drawn.total + 1))
