"""Random filters over random logs: `find` says what a small evaluator over plain dicts says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runlore.query.find import plan
from runlore.query.find.parse import parse, parse_key
from tests.query.filter_data import EVENTS, LOGS, PATHS, filters, world
from tests.query.filter_model import order_value
from tests.query.views import client_of

FUZZ = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
seeds = st.integers(0, LOGS - 1)
selective = st.sampled_from([0, 2, 4000])
positions = st.one_of(st.none(), st.integers(1, EVENTS + 2))


@FUZZ
@given(seed=seeds, where=filters(), limit=selective, at=positions)
def test_find_agrees_with_the_model(
    monkeypatch: pytest.MonkeyPatch, seed: int, where: str, limit: int, at: Any
) -> None:
    monkeypatch.setattr(plan, "SELECTIVE", limit)
    monkeypatch.setattr(plan, "WIDE", 1000)
    here, expression = world(seed), parse(where)
    assert expression is not None
    found = here.client.find("artifact", where, limit=1000, as_of=at)
    known = here.known(min(at or EVENTS, EVENTS))
    expected = {reference for reference, entity in known.items() if entity.fits(expression)}
    assert {entity.reference for entity in found} == expected
    assert [entity.place for entity in found] == sorted((entity.place for entity in found), reverse=True)
    assert {entity.reference for entity in here.client.find(None, where, limit=1000, as_of=at)} == expected


@FUZZ
@given(
    seed=seeds,
    where=st.one_of(st.none(), filters()),
    key=st.sampled_from([path for path in PATHS if path != "name"]),
    descending=st.booleans(),
    size=st.integers(1, 5),
    limit=selective,
    at=positions,
)
def test_pages_are_the_whole_list_in_the_order_of_a_key(
    monkeypatch: pytest.MonkeyPatch, seed: int, where: Any, key: str, descending: bool, size: int, limit: int, at: Any
) -> None:
    monkeypatch.setattr(plan, "SELECTIVE", limit)
    here = world(seed)
    asked: dict[str, Any] = {"order_by": key, "descending": descending, "as_of": at}
    whole = here.client.find("artifact", where, limit=1000, **asked)
    monkeypatch.setattr(plan, "SELECTIVE", 4000)
    assert here.client.find("artifact", where, limit=1000, **asked) == whole
    assert {e.reference for e in whole} == {
        e.reference for e in here.client.find("artifact", where, limit=99, as_of=at)
    }
    pages, after = [], None
    while True:
        # The way may change from page to page, as data grows: the order must not.
        monkeypatch.setattr(plan, "SELECTIVE", limit if len(pages) % 2 else 4000)
        page = here.client.find("artifact", where, limit=size, after=after, **asked)
        pages += list(page)
        after = page.cursor
        if after is None:
            break
        assert len(page) == size
    assert pages == whole
    known = here.known(min(at or EVENTS, EVENTS))
    named = parse_key(key)
    paths = [named.parts] if named.quoted else [named.parts, (".".join(named.parts),)]
    ranks = [order_value(known[entity.reference].states[-1], paths) for entity in whole]
    valued = [rank for rank in ranks if rank is not None]
    assert ranks[len(valued) :] == [None] * (len(ranks) - len(valued))
    comparable = [rank for rank in valued if rank]
    assert comparable == sorted(comparable, reverse=descending)


@pytest.mark.parametrize("seed", range(2))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=filters(), data=st.data())
def test_as_of_equals_a_fresh_fold_of_the_prefix(tmp_path_factory: Any, seed: int, where: str, data: Any) -> None:
    here = world(seed)
    at = data.draw(st.sampled_from([5, 17, 31]))
    prefix = _prefix(tmp_path_factory.getbasetemp() / f"prefix-{seed}-{at}", seed, at)
    for order in (None, "a", "g.x"):
        then = here.client.find("artifact", where, order_by=order, as_of=at)
        fresh = prefix.find("artifact", where, order_by=order)
        assert [entity.reference for entity in then] == [entity.reference for entity in fresh]
        assert then.position == fresh.position == at


_prefixes: dict[Path, Any] = {}


def _prefix(folder: Path, seed: int, at: int) -> Any:
    if folder not in _prefixes:
        folder.mkdir()
        _prefixes[folder] = client_of(folder, lambda log: log.rows.extend(world(seed).log.rows[:at]))
    return _prefixes[folder]
