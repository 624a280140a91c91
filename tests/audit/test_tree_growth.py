"""The tree of a log, however it grew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.growth import append_leaves
from runlore.store.audit.tree import Tree
from tests.audit.logs import Folder, message, messages


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_batch_borders_restarts_duplicates_and_gaps_give_the_same_tree(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    pieces: list[object] = []
    position = 0
    for size in data.draw(st.lists(st.integers(1, 300), min_size=1, max_size=6)):
        if data.draw(st.booleans()):
            pieces += [message(position + n, event_id=data.draw(st.sampled_from(["", "", "same", None]))) if n < 4
                       else message(position + n) for n in range(1, size + 1)]  # fmt: skip
        else:
            pieces.append((position + 1, position + size, "gone"))
        position += size
    roots = set()
    for _ in range(2):
        folder = Folder(tmp_path_factory.mktemp("log"))
        archive = folder.open()
        rest = list(pieces)
        while rest:
            if isinstance(rest[0], tuple) and len(rest[0]) == 3:
                archive.record_gap(*rest.pop(0))  # type: ignore[arg-type]
            else:
                run = 1
                while run < len(rest) and len(rest[run]) != 3:  # type: ignore[arg-type]
                    run += 1
                take = data.draw(st.integers(1, run))
                archive.append(rest[:take])  # type: ignore[arg-type]
                del rest[:take]
            if data.draw(st.booleans()):
                archive.close()
                archive = folder.open()
        roots.add((archive.tree.size, archive.tree.root()))
        archive.close()
        assert folder.verify().problems == []
    assert len(roots) == 1


def test_an_older_log_gets_its_tree_when_it_is_opened(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = folder.open()
    archive.append(messages(1, 500))
    archive.record_gap(501, 1500, "gone")
    archive.append(messages(1501, 1700))
    tree = archive.tree
    archive.close()
    folder.forget_tree()
    [problem] = folder.verify().problems
    assert "a version without one wrote them" in problem.what
    monkeypatch.setattr("runlore.projector.audit.growth.CATCH_UP_POSITIONS", 300)
    archive = Archive.open(folder.log, "epoch-1")
    assert archive.tree == tree
    archive.append(messages(1701, 1800))
    archive.close()
    assert folder.verify().problems == []


def test_building_the_tree_of_an_older_log_goes_on_where_it_stopped(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = folder.open()
    archive.append(messages(1, 1000))
    tree = archive.tree
    archive.close()
    folder.forget_tree()
    monkeypatch.setattr("runlore.projector.audit.growth.CATCH_UP_POSITIONS", 300)
    with monkeypatch.context() as broken:
        broken.setattr("runlore.projector.audit.growth.append_leaves", stop_after(2))
        with pytest.raises(KeyboardInterrupt):
            folder.open()
    assert folder.rows("SELECT position FROM tree_state") == [(600,)]
    archive = folder.open()
    assert archive.tree == tree
    archive.close()


def stop_after(times: int) -> Callable[..., Tree]:
    calls = iter(range(times))

    def append(*arguments: Any) -> Tree:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return append_leaves(*arguments)

    return append
