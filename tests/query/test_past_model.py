"""Every read as of every position says what a model in plain dicts says, however the log was folded."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runlore.projector.views.generations import make_current
from runlore.projector.views.view import View
from runlore.query import Client, Entity, Entry
from runlore.schemas import MetadataRetracted, ModelStageChanged, NoteAdded, NotFoundError, StorageSize, parse_ref
from runlore.schemas.paths import format_path
from runlore.store.folder import DataDir
from tests.events import EPOCH, START, LogBuilder
from tests.query.model import Model, ModelEntity, leaves
from tests.query.test_histories import same

REFERENCES = ("model:m@1", "model:m@2", "artifact:a@1", "dataset:d@x")
names = st.sampled_from(("a", "b", "t.l", "c"))
scalars = st.sampled_from((0, 1, True, False, 1.0, float("nan"), -0.5, None, "x", StorageSize(2000), [1, "y"], 2**70))
values = st.recursive(scalars, lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=5)
metadata = st.dictionaries(names, values, min_size=1, max_size=3)
some = st.lists(st.sampled_from(REFERENCES), min_size=1, max_size=2)
paths = st.lists(st.lists(names, min_size=1, max_size=3).map(tuple), min_size=1, max_size=2)

# The lengths say how often each kind of event comes: logging twice as often, as parts of one whole.
facts = st.one_of(
    st.tuples(st.just("log"), some, metadata, st.booleans()),
    st.tuples(st.just("log"), some, metadata, st.booleans()),
    st.tuples(st.just("retract"), some, paths, st.sampled_from(("wrong", ""))),
    st.tuples(st.just("note"), st.sampled_from(REFERENCES), st.text(max_size=3)),
    st.tuples(
        st.just("stage"), st.sampled_from(REFERENCES[:2]), st.sampled_from(("production", "staging", "archived"))
    ),
    st.tuples(st.just("again")),
)
events = st.tuples(st.integers(0, 5), facts)
"""When it occurred, by the producer's clock, and what."""


def write(script: list[tuple[int, tuple[Any, ...]]]) -> tuple[LogBuilder, Model]:
    """The log of a script, and what the model makes of it."""
    log, model = LogBuilder(), Model()
    for second, (kind, *what) in script:
        model.position = len(log.rows) + 1
        model.occurred[model.position] = second
        at = {"occurred_at": START + dt.timedelta(seconds=second)}
        match kind:
            case "log":
                log.log(what[0], what[1], merge=what[2], **at)
                model.log(*what)
            case "retract":
                targets = tuple(dict.fromkeys(map(parse_ref, what[0])))
                log.add(MetadataRetracted(targets, tuple(what[1]), what[2]), **at)
                model.retract(what[0], what[1], what[2])
            case "note":
                log.add(NoteAdded((parse_ref(what[0]),), what[1]), **at)
                model.note(*what)
            case "stage":
                log.add(ModelStageChanged(parse_ref(what[0]), what[1]), **at)
                model.stage(*what)
            case _ if log.rows:  # the same message, delivered a second time
                first = log.rows[-1]
                log.add_raw(first.payload, first.event_id, first.duplicate_of or first.position)
    return log, model


def fold(data: DataDir, log: LogBuilder, borders: list[tuple[int, bool]]) -> None:
    """Fold in batches of any size; True closes the view after a batch and opens it again."""
    view = View.create(data.view(1), EPOCH)
    start, turns = 0, iter(borders)
    while start < len(log.rows):
        size, restart = next(turns, (1000, False))
        view.fold(log.rows[start : start + size])
        start += size
        if restart:
            view.close()
            view = View.open(data.view(1))
    view.close()
    make_current(data, data.view(1))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events, min_size=1, max_size=9), st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=6))
def test_every_read_as_of_every_position_equals_the_model(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[int, tuple[Any, ...]]], borders: list[tuple[int, bool]]
) -> None:
    log, model = write(script)
    if not log.rows:
        return
    data = DataDir(tmp_path_factory.mktemp("past"))
    fold(data, log, borders)
    with Client(data.root) as client:
        for position in range(len(log.rows) + 1):
            for reference, expected in model.entities.items():
                check_at(client, reference, expected, position)
            check_stages(client, model, position)
        for reference, expected in model.entities.items():
            entity = client.get(reference)
            assert same(entity.metadata, expected.metadata)
            check_pages(entity, expected)
    check_occurred(data, model)


def check_at(client: Client, reference: str, expected: ModelEntity, position: int) -> None:
    if position < expected.created:
        with pytest.raises(NotFoundError):
            client.get(reference, as_of=position)
        return
    entity = client.get(reference, as_of=position)
    assert entity.position == position
    then = expected.at(position)
    assert same(entity.metadata, then)
    assert same({key: entry.value for key, entry in entity.run_metadata.items()}, then)
    assert [(note.position, note.value) for note in entity.notes] == [n for n in expected.notes if n[0] <= position]
    stages = [stage for stage in expected.stages if stage[0] <= position]
    assert [(entry.position, entry.value) for entry in entity.field_history("stage")] == stages
    assert entity.fields.get("stage") == (stages[-1][1] if stages else None)
    check_blame(entity, expected, position)
    check_diff(client, entity, expected, position)
    for path in expected.paths():
        check_history(entity, expected, path, position)


def check_blame(entity: Entity, expected: ModelEntity, position: int) -> None:
    wanted = expected.blame(position)
    got = {entry.path: entry for entry in entity.blame(ended=True)}
    assert got.keys() == {format_path(path) for path in wanted}
    for path, (when, change) in wanted.items():
        entry = got[format_path(path)]
        assert entry.position == when
        assert same(value_of(entry), change)
    live = {entry.path for entry in entity.blame()}
    assert live == {path for path, entry in got.items() if not entry.ended}


def check_history(entity: Entity, expected: ModelEntity, path: tuple[str, ...], position: int) -> None:
    past = entity.history(path)
    wanted = expected.history(path, position)
    assert [entry.position for entry in past] == [when for when, _ in wanted]
    assert same([value_of(entry) for entry in past], [change for _, change in wanted])
    befores = [None, *(value if kind == "set" else None for _, (kind, value) in wanted)][: len(past)]
    assert same([entry.previous for entry in past], befores)
    assert [entry.previous_type for entry in past] == [None, *(entry.type for entry in past)][: len(past)]
    if any(path in changes for _, changes, _ in expected.past):
        found = entity.series(path)
        numbers = [
            (when, change[1])
            for when, changes, _ in expected.past
            if when <= position and (change := changes.get(path, ("", None)))[0] == "set"
            if isinstance(change[1], (int, float)) and not isinstance(change[1], bool)
        ]
        assert found.positions == [when for when, _ in numbers]
        assert same([float(value) for value in found.values], [float(value) for _, value in numbers])
        assert all(type(value) in (int, float) for value in found.values)


def check_diff(client: Client, entity: Entity, expected: ModelEntity, position: int) -> None:
    """From the position before to this one, and to the end."""
    for since, until in ((position - 1, position), (position, client.position)):
        before, after = leaves(expected.at(since)), leaves(expected.at(until))
        found = {item.path: item for item in client.diff(entity, since=since, until=until)}
        assert found.keys() == {format_path(path) for path in before | after}
        for path in before | after:
            item = found[format_path(path)]
            equal = path in before and path in after and same(before[path], after[path])
            change = (
                "equal" if equal else "added" if path not in before else "removed" if path not in after else "changed"
            )
            assert item.change == change
            assert same((item.before, item.after), (before.get(path), after.get(path)))


def check_occurred(data: DataDir, model: Model) -> None:
    """By the producers' clocks: whole events, the last one by the log for each leaf."""
    for second in range(6):
        seen = {position for position, occurred in model.occurred.items() if occurred <= second}
        with Client(data.root, as_of=START + dt.timedelta(seconds=second), clock="occurred") as client:
            listed = {
                entity.reference for kind in ("model", "artifact", "dataset") for entity in client.list_entities(kind)
            }
            assert listed == {reference for reference, expected in model.entities.items() if expected.known(seen)}
            for reference in listed:
                expected, entity = model.entities[reference], client.get(reference)
                assert same(leaves(entity.metadata) if entity.metadata else {}, expected.leaves_of(seen))
                assert [note.value for note in entity.notes] == [text for when, text in expected.notes if when in seen]
                assert {row.path for row in client.compare([entity]).rows} == {entry.path for entry in entity.blame()}
                for path in expected.paths():
                    touched = [when for when, _ in expected.history(path, entity.position) if when in seen]
                    assert [entry.position for entry in entity.history(path)] == touched
                    if touched and len(path) == 1 and path[0] in entity.metadata:
                        assert same(entity.history(path)[-1].value, entity.metadata[path[0]])


def check_stages(client: Client, model: Model, position: int) -> None:
    for stage in ("production", "staging"):
        held = model.holders("model:m", stage, position)
        if held:
            assert client.get(f"model:m@{stage}", as_of=position).reference == held[0]
        else:
            with pytest.raises(NotFoundError):
                client.get(f"model:m@{stage}", as_of=position)


def check_pages(entity: Entity, expected: ModelEntity) -> None:
    for path in expected.paths():
        whole = shown(entity.history(path))
        assert shown(entity.history(path, newest_first=True)) == whole[::-1]
        forward, backward, at = list[Any](), list[Any](), 0
        while page := shown(entity.history(path, 2, after=at)):
            forward, at = [*forward, *page], page[-1][0]
        at = entity.position + 1
        while page := shown(entity.history(path, 2, before=at)):
            backward, at = [*page, *backward], page[0][0]
        assert forward == backward == whole
        for first in range(1, entity.position + 1, 2):
            inside = [entry for entry in whole if first <= entry[0] <= first + 2]
            assert shown(entity.history(path, since=first, until=first + 2)) == inside


def shown(past: list[Entry]) -> list[tuple[Any, ...]]:
    """Entries as they compare, also where they hold NaN."""
    return [(entry.position, entry.type, entry.reason, repr(entry.value), repr(entry.previous)) for entry in past]


def value_of(entry: Entry) -> tuple[str, Any]:
    if entry.type == "retracted":
        return "retracted", entry.reason
    return ("removed", None) if entry.ended else ("set", entry.value)
