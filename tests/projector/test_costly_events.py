"""Events that would stall the fold are quarantined with the reason, and everything behind them folds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.msgpack import Ext, encode
from nats_tools import publish_all, until
from service_tools import running
from view_tools import current, quarantine, query

from runlore.cli.server import EmbeddedServer
from runlore.schemas import EntityRef, MetadataLogged, MetadataRetracted, NoteAdded, Settings, parse_ref
from runlore.schemas.limits import MAX_COPIED_CHARACTERS
from runlore.store.folder import DataDir
from tests.events import LogBuilder
from tests.oracle import assert_nothing_lost_or_doubled

MODEL = EntityRef("model", "m", "1")
EQUAL_HASHES = Ext(3, encode([Ext(1, (number * (2**61 - 1)).to_bytes(12, "big")) for number in range(40_000)]))


def test_a_set_with_equal_hashes_on_the_real_stream_is_quarantined_and_the_log_goes_on(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    log = LogBuilder()
    log.log("model:m@1", {"k": 1})
    bad = log.add(MetadataLogged((MODEL,), {"k": EQUAL_HASHES}))
    log.log("model:m@1", {"later": 1})
    assert len(bad.payload) > 500_000
    with running(settings) as service:
        until(lambda: service.state.connected)
        publish_all(settings, log.rows)
        service.folded(3)
        assert_nothing_lost_or_doubled(settings, [row.event_id or "" for row in log.rows], in_order=False)
    view = data.current_view()
    ((position, stage, reason),) = quarantine(view)
    assert (position, stage) == (2, "fold")
    assert reason.startswith("a set of more than 16 elements with the same hash")
    assert query(view, "SELECT payload FROM quarantine") == [(bad.payload,)]
    assert current(view, "model:m@1") == {"k": 1, "later": 1}


MANY = tuple(EntityRef("data", f"d{number}", "1") for number in range(300))


@pytest.mark.parametrize(
    "fact",
    [
        MetadataLogged(MANY, {"k": "x" * (MAX_COPIED_CHARACTERS // 300 + 1)}),
        MetadataLogged(MANY, {"k": {"a": [b"x" * (MAX_COPIED_CHARACTERS // 300 + 1)]}}),
        NoteAdded(MANY, "x" * (MAX_COPIED_CHARACTERS // 300 + 1)),
        MetadataRetracted(MANY[:1], (("k",),) * 300, "x" * (MAX_COPIED_CHARACTERS // 300 + 1)),
    ],
    ids=["text", "bytes in a list", "note", "reason"],
)
def test_one_text_for_many_entities_is_stored_within_a_limit(tmp_path: Path, fact: Any) -> None:
    log = LogBuilder()
    log.log("data:d0@1", {"k": 1})
    log.add(fact)
    log.fold_into(tmp_path / "view.db").close()
    ((_, stage, reason),) = quarantine(tmp_path / "view.db")
    assert stage == "fold"
    assert "together at most 250,000,000" in reason


def test_the_reason_does_not_depend_on_how_deep_the_interpreter_is(tmp_path: Path) -> None:
    """Near the interpreter's own depth the decoder gives up, and below it the validator refuses: the same row."""
    log = LogBuilder()
    for depth in (33, 500, 1000, 5000):
        log.add(MetadataLogged((MODEL,), {"k": _deep(depth)}))

    def fold(frames: int) -> list[tuple[Any, ...]]:
        if frames:
            return fold(frames - 1)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.db"
        log.fold_into(path).close()
        return quarantine(path)

    assert fold(0) == fold(300) == [(n, "fold", "nested deeper than 32 levels") for n in (1, 2, 3, 4)]


def _deep(levels: int) -> Any:
    return msgspec.Raw(b"\x91" * levels + b"\x01")


def test_the_fold_takes_what_it_took_before(tmp_path: Path) -> None:
    log = LogBuilder()
    values = {
        "set": set(range(5000)),
        "text": "ß" * 100_000,
        "list": [{"a": [n]} for n in range(5000)],
        "int": 10**9999,
    }
    log.log("model:m@1", values)
    log.log([str(parse_ref(f"data:d{n}@1")) for n in range(1000)], {"text": "x" * 10_000})
    log.fold_into(tmp_path / "view.db").close()
    assert quarantine(tmp_path / "view.db") == []
    assert current(tmp_path / "view.db", "model:m@1") == values
