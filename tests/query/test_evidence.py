"""The raw event behind a value and its proof, read from a real log.db; what was tampered with is said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from runlore.projector.archiving.archive import Archive
from runlore.query import Client
from runlore.schemas.errors import CorruptLogError, NotFoundError
from runlore.store.audit.leaf import LeafCoder
from runlore.store.audit.merkle import hash_children
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from runlore.store.private_files import write_struct
from runlore.store.records import LastVerify
from runlore.store.sqlite import sqlite
from tests.audit.logs import tamper
from tests.events import EPOCH, LogBuilder
from tests.query.views import HEADERS, archive, client_of, fold_live


def write(log: LogBuilder) -> None:
    for number in range(1, 601):
        log.log("model:churn@1", {"loss": 1 / number})
    log.add_raw(b"\xc1 no event", "bad-1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evidence")
    client_of(root, write, archived=True).close()
    return root


@pytest.fixture
def client(folder: Path) -> Client:
    return Client(folder)


@pytest.mark.parametrize("position", [1, 2, 256, 257, 300, 512, 600, 601])
def test_an_event_is_raw_decoded_and_proved(client: Client, position: int) -> None:
    found = client.logged_event(position)
    assert found.headers == HEADERS
    if position <= 600:
        assert found.event is not None
        assert found.event.id == found.event_id
        assert found.event.producer_seq == position
    proof = found.proof
    assert proof is not None
    recorded_ns = round(found.created.timestamp()) * 10**9
    event_id = None if found.event_id is None else found.event_id.encode()
    here = LeafCoder(EPOCH).event(
        position, event_id, recorded_ns, found.subject.encode(), found.headers, found.payload
    )  # fmt: skip
    assert proof.leaf == here
    for step in proof.steps:
        here = hash_children(step.sibling, here) if step.on_left else hash_children(here, step.sibling)
        assert step.gives == here
    assert here == proof.checkpoint.root == client.audit_state().root


def test_what_cannot_be_decoded_is_there_all_the_same(client: Client) -> None:
    found = client.logged_event(601)
    assert (found.payload, found.event) == (b"\xc1 no event", None)
    assert "not an event" in (found.decode_error or "")
    assert found.proof is not None


def test_the_moment_of_a_client_hides_what_came_later(folder: Path) -> None:
    with Client(folder, as_of=300) as client:
        assert client.logged_event(300).position == 300
        with pytest.raises(NotFoundError, match="301 is later than the moment"):
            client.logged_event(301)
        assert client.quarantine() == []
    with Client(folder) as client:
        assert [row["position"] for row in client.quarantine()] == [601]


def test_there_is_no_event_after_the_last(client: Client) -> None:
    with pytest.raises(NotFoundError, match="has no event 602"):
        client.logged_event(602)


def test_an_event_that_is_not_signed_yet_says_so_and_is_no_alarm(tmp_path: Path) -> None:
    log = LogBuilder()
    write(log)
    data = DataDir(tmp_path)
    fold_live(data, log)
    archive(data, log, signed=500)
    with Client(tmp_path) as client:
        assert client.logged_event(500).proof is not None
        found = client.logged_event(501)
        assert found.proof is None
        assert "not under a signed checkpoint yet" in (found.unproved or "")
        assert not found.tampered
        state = client.audit_state()
        assert (state.leaves, state.checkpoint and state.checkpoint.size) == (601, 500)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log SET payload = x'00' WHERE position = 300",
        "UPDATE log SET recorded_ns = recorded_ns + 1 WHERE position = 300",
        "UPDATE log SET event_id = 'other' WHERE position = 300",
        "UPDATE log SET headers = x'' WHERE position = 300",
        "UPDATE log SET subject = 'runlore.default.other' WHERE position = 300",
        "UPDATE tree_nodes SET hash = zeroblob(32)",
        "UPDATE tree_leaves SET hashes = zeroblob(8192) WHERE block = 1",
        "UPDATE checkpoints SET note = replace(note, 'test-epoch', 'else')",
        "DELETE FROM tree_nodes",
    ],
)
def test_an_event_that_does_not_fit_its_checkpoint_is_called_tampered(tmp_path: Path, statement: str) -> None:
    client = client_of(tmp_path, write, archived=True)
    tamper(DataDir(tmp_path).log, statement)
    found = client.logged_event(300)
    assert found.proof is None
    assert found.tampered
    assert found.unproved
    client.close()


def test_a_gap_is_named(tmp_path: Path) -> None:
    client = client_of(tmp_path, lambda log: log.log("model:m@1", {"a": 1}))
    kept = Archive.open(DataDir(tmp_path).log, EPOCH)
    kept.record_gap(1, 4, "the stream begins at 5")
    kept.append([Received(5, "e-5", 10**9, "runlore.default.test", b"", b"x")])
    kept.close()
    with pytest.raises(NotFoundError, match="events 1 to 4 are a gap in the stream: the stream begins at 5"):
        client.logged_event(2)
    found = client.audit_state()
    assert [(gap.first, gap.last) for gap in found.gaps] == [(1, 4)]
    assert found.leaves == 2
    assert client.logged_event(5).payload == b"x"
    client.close()


def test_without_a_log_there_is_no_evidence(tmp_path: Path) -> None:
    with client_of(tmp_path, lambda log: log.log("model:m@1", {"a": 1})) as client:
        for ask in (lambda: client.logged_event(1), client.audit_state):
            with pytest.raises(NotFoundError, match=r"no log\.db here"):
                ask()
    with Client(DataDir(tmp_path).view(1)) as client, pytest.raises(NotFoundError, match=r"no log\.db here"):
        client.audit_state()


def test_a_log_of_a_version_without_a_tree_shows_its_events_unproved(tmp_path: Path) -> None:
    with client_of(tmp_path, lambda log: log.log("model:m@1", {"a": 1}), archived=True) as client:
        tamper(
            DataDir(tmp_path).log,
            *(f"DROP TABLE {table}" for table in ("tree_state", "tree_leaves", "tree_nodes", "checkpoints")),
            triggers=False,
        )
        found = client.logged_event(1)
        assert found.event is not None
        assert (found.proof, found.tampered) == (None, False)
        assert "no audit tree yet" in (found.unproved or "")
        with pytest.raises(NotFoundError, match="no audit tree yet"):
            client.audit_state()


def test_a_damaged_log_is_an_error_that_names_the_way_out(tmp_path: Path) -> None:
    with client_of(tmp_path, lambda log: log.log("model:m@1", {"a": 1}), archived=True) as client:
        DataDir(tmp_path).log.write_bytes(b"no database at all" * 500)
        with pytest.raises(CorruptLogError, match="runlore audit verify"):
            client.logged_event(1)


def test_the_last_verification_is_read_from_beside_the_log(tmp_path: Path) -> None:
    with client_of(tmp_path, lambda log: log.log("model:m@1", {"a": 1}), archived=True) as client:
        assert client.audit_state().verify is None
        left = LastVerify(
            at=1.5, position=1, leaves=1, root="00", checkpoints=1, outside=0, own_key=True, messages=None, view=True,
            not_compared={"stream": "--offline"}, problems=[],
        )  # fmt: skip
        write_struct(DataDir(tmp_path).verified, left)
        assert client.audit_state().verify == left
        DataDir(tmp_path).verified.write_text("{")
        assert client.audit_state().verify is None


def test_reading_evidence_writes_nothing_and_holds_nothing(folder: Path, client: Client) -> None:
    client.logged_event(5)
    writer = sqlite.connect(DataDir(folder).log, isolation_level=None)
    busy = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    writer.close()
    assert busy == 0
