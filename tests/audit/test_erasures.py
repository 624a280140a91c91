"""Redacted rows of log.db: nobody changes a row without an erasure in the log that the log's key has signed."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from runlore.cli.app import app
from runlore.dashboard.display import show
from runlore.projector.archiving.archive import Archive
from runlore.projector.archiving.erasing import Erasing
from runlore.projector.audit.keys import load_or_make_signer
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.fold.projection import Projection, Recorded, on
from runlore.projector.views.follow import follow
from runlore.projector.views.rebuild import rebuild_view
from runlore.query import Client
from runlore.query.effect import EventErasure
from runlore.schemas import CorruptLogError, EventDecodeError, MetadataLogged
from runlore.schemas.codec import decode_event
from runlore.schemas.redaction import redacted, redacted_v1
from runlore.schemas.special import Erased
from runlore.schemas.subjects import SIGNING_SUBJECT
from runlore.schemas.values import decode_value, encode_value
from runlore.store.audit.erasure import ErasedEvent, Erasure, parse_erasure
from runlore.store.audit.leaf import origin_of
from runlore.store.audit.statement import statement_id
from runlore.store.cells import from_cell, readable, to_cell
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from runlore.store.sqlite import sqlite
from tests.audit.logs import EPOCH, Folder
from tests.dashboard.conftest import web_over
from tests.events import LogBuilder

SECRET = "zebra-4711"
PATHS = (("metadata", "customer"), ("metadata", "g", "name"))


class Log(Folder):
    """A log with an event that holds a secret twice, a second copy of it, and another event."""

    def __init__(self, root: Path) -> None:
        data = DataDir(root)
        data.projection.mkdir()
        super().__init__(root)
        self.log = data.log
        self.data = data
        built = LogBuilder()
        metadata = {"customer": SECRET, "owner": "ada", "g": {"name": SECRET, "size": 3}}
        secret = built.log("model:m@1", metadata, salt=bytes(16))
        built.add_raw(secret.payload, secret.event_id)
        built.log("model:m@1", {"other": 1})
        self.first = secret.payload
        self.archive = self.open()
        self.writer = CheckpointWriter(self.archive, self.key)
        self.append(*(Received(*row[:4], b"", row.payload) for row in built.rows))

    def append(self, *messages: Received) -> None:
        self.archive.append(messages)
        self.writer.sign()

    def erasure(self, positions: tuple[int, ...] = (1, 2), paths: tuple[tuple[str, ...], ...] = PATHS) -> Erasure:
        after = sha256(redacted(self.first, paths, "left")).digest()
        logged = sha256(self.first).digest()
        return Erasure("left", "ada", tuple(ErasedEvent(position, logged, after, paths) for position in positions))

    def state(self, erasure: Erasure, key: Path | None = None) -> None:
        """Put an erasure into the log, signed by the log's key or another."""
        note = erasure.signed(load_or_make_signer(key or self.key, origin_of(EPOCH)))
        position = self.archive.position + 1
        number = statement_id(position - 3)
        self.append(Received(position, number, 1_800_000_000_000_000_000, SIGNING_SUBJECT, b"", note.encode()))

    def execute(self) -> bool:
        return Erasing(self.archive).execute(self.verifier())

    def erase(self) -> None:
        self.state(self.erasure())
        assert self.execute()

    def what(self) -> str:
        """What verification finds."""
        self.archive.close()
        problems = self.verify().problems
        return f"{problems[0].position}: {problems[0].what}" if problems else ""


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def test_an_erased_row_keeps_its_leaf_and_everything_but_the_values(log: Log) -> None:
    root = log.archive.tree.root()
    log.state(log.erasure())
    assert log.archive.tree.root() != root
    root = log.archive.tree.root()
    assert log.execute()
    assert not log.execute()
    assert log.archive.tree.root() == root
    assert log.archive.wal_bytes() == 0
    assert SECRET.encode() not in log.log.read_bytes()
    ((payload, copy),) = log.rows(
        "SELECT a.payload, b.payload FROM log a, log b WHERE a.position = 1 AND b.position = 2"
    )
    event = decode_event(bytes(payload))  # type: ignore[call-overload]
    assert event.fact.metadata == {"customer": Erased("left"), "owner": "ada", "g": {"name": Erased("left"), "size": 3}}
    assert type(event.fact.metadata["customer"]) is Erased
    assert not event.salt
    assert copy == payload
    assert log.what() == ""


def test_more_may_be_erased_from_the_same_event_later(log: Log) -> None:
    log.state(log.erasure(paths=PATHS[:1]))
    assert log.execute()
    logged, before = sha256(log.first).digest(), redacted(log.first, PATHS[:1], "left")
    after = sha256(redacted(before, PATHS[1:], "left")).digest()
    log.state(Erasure("left", "bob", tuple(ErasedEvent(at, logged, after, PATHS[1:]) for at in (1, 2))))
    assert log.execute()
    assert SECRET.encode() not in log.log.read_bytes()
    assert log.what() == ""
    archive = log.open()  # a projector that starts again does nothing twice
    assert not Erasing(archive).execute(log.verifier())
    archive.close()


def test_a_copy_that_comes_late_is_redacted_before_it_is_stored(log: Log) -> None:
    log.erase()
    ((event_id, subject),) = log.rows("SELECT event_id, subject FROM log WHERE position = 1")
    late = Received(5, str(event_id), 1_800_000_000_000_000_000, str(subject), b"", log.first)
    log.append(late)
    log.archive.checkpoint()
    assert (log.archive.duplicates, log.archive.conflicts) == (2, 0)
    assert SECRET.encode() not in log.log.read_bytes()
    assert log.what() == ""


def test_an_erasure_that_another_key_signed_is_not_executed(log: Log, tmp_path: Path) -> None:
    log.state(log.erasure(), tmp_path / "thief.key")
    assert not log.execute()
    assert SECRET.encode() in log.log.read_bytes()
    assert log.what() == ""


def test_an_erasure_that_does_not_fit_its_events_changes_none_of_them(log: Log) -> None:
    wrong = log.erasure()
    log.state(wrong._replace(events=(wrong.events[0], wrong.events[1]._replace(payload_hash=bytes(32)))))
    assert not log.execute()
    assert SECRET.encode() in log.log.read_bytes()
    assert log.what() == ""


def test_an_erasure_of_the_first_version_is_executed_as_it_was_meant(log: Log) -> None:
    paths = (("customer",), ("g",))
    after = sha256(redacted_v1(log.first, paths, "left")).digest()
    log.state(Erasure("left", "ada", (ErasedEvent(1, sha256(log.first).digest(), after, paths),), version=1))
    assert log.execute()
    ((payload,),) = log.rows("SELECT payload FROM log WHERE position = 1")
    event = decode_event(bytes(payload))  # type: ignore[call-overload]
    assert event.fact.metadata == {"customer": Erased("left"), "owner": "ada", "g": Erased("left")}
    assert log.what() == ""


def forged(payload: bytes, statement: int) -> tuple[str, ...]:
    """Replace event 1, as whoever knows the table of redacted rows would."""
    logged = "(SELECT payload FROM log WHERE position = 1)"
    return (
        f"INSERT OR REPLACE INTO erasures SELECT 1, {statement}, X'{{logged}}', X'{sha256(payload).hexdigest()}' "
        f"WHERE {logged} IS NOT NULL",
        f"UPDATE log SET payload = X'{payload.hex()}' WHERE position = 1",
    )


NONE_ABOUT = "1: the payload was replaced, and no erasure in the log is about it"
NOT_LEFT = "1: values were erased from the row, and it is not what their erasure left"


@pytest.mark.parametrize(
    ("erased", "statements", "what"),
    [
        (False, forged(b"other", 3), NONE_ABOUT),
        (True, forged(b"other", 4), NONE_ABOUT),
        (True, ("UPDATE erasures SET statement = 3 WHERE position = 1",), NONE_ABOUT),
        (True, ("UPDATE erasures SET redacted_hash = x'00' WHERE position = 1",), NOT_LEFT),
        (True, ("UPDATE log SET payload = x'00' WHERE position = 1",), NOT_LEFT),
        (True, ("UPDATE erasures SET payload_hash = zeroblob(32) WHERE position = 1",), "1: the row is not what was"),
        (True, ("DELETE FROM erasures WHERE position = 1",), "1: the row is not what was"),
        (True, ("UPDATE erasures SET position = 3 WHERE position = 1",), "1: the row is not what was"),
        (True, ("INSERT INTO erasures VALUES (99, 4, x'00', x'00')",), "99: the payload was replaced"),
        (True, ("UPDATE log SET payload = x'00' WHERE position = 4",), "4: the row is not what was"),
    ],
)
def test_a_forged_redaction_is_named(log: Log, erased: bool, statements: tuple[str, ...], what: str) -> None:
    if erased:
        log.erase()
    log.archive.close()
    log.tamper(*(one.format(logged=sha256(log.first).hexdigest()) for one in statements))
    assert log.what().startswith(what)


def test_an_erasure_by_a_key_that_nobody_trusts_is_no_reason_to_replace_a_row(log: Log, tmp_path: Path) -> None:
    log.state(log.erasure(), tmp_path / "thief.key")
    assert Erasing(log.archive).execute(load_or_make_signer(tmp_path / "thief.key", origin_of(EPOCH)).verifier)
    assert "no trusted key has signed the erasure, event 4" in log.what()


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x80", b"\x91" * 100_000])
def test_what_is_no_event_with_metadata_is_not_redacted(payload: bytes) -> None:
    with pytest.raises(EventDecodeError):
        redacted(payload, [("metadata", "a")], "left")


@pytest.mark.parametrize("path", [("nothing",), ("customer", "x"), ("g", "x")])
def test_a_path_without_a_value_is_refused(log: Log, path: tuple[str, ...]) -> None:
    with pytest.raises(EventDecodeError, match="no value at"):
        redacted(log.first, [("metadata", *path)], "left")
    with pytest.raises(EventDecodeError, match="no value at"):
        redacted_v1(log.first, [path], "left")
    log.archive.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note.replace("runlore/erasure/v2", "runlore/erasure/v3"),
        lambda note: note.replace("\nleft\n", "\n\n"),
        lambda note: note.replace('[["metadata","customer"]', '[[ "metadata","customer"]'),
        lambda note: note.replace("\n1 ", "\n01 "),
    ],
)
def test_an_erasure_has_one_spelling(log: Log, change: Callable[[str], str]) -> None:
    note = log.erasure().signed(load_or_make_signer(log.key, origin_of(EPOCH)))
    assert parse_erasure(note) == log.erasure()
    with pytest.raises(CorruptLogError):
        parse_erasure(change(note))
    log.archive.close()


def test_a_row_that_was_not_erased_cannot_be_updated(log: Log) -> None:
    assert isinstance(log.archive, Archive)
    with pytest.raises(Exception, match="append-only"):
        log.archive.connection.execute("UPDATE log SET payload = x'' WHERE position = 1")
    log.erase()
    for change in ("subject = 'x'", "event_id = NULL", "recorded_ns = 1", "headers = x'01'", "duplicate_of = 3"):
        with pytest.raises(Exception, match="append-only"):
            log.archive.connection.execute(f"UPDATE log SET {change} WHERE position = 1")
    log.archive.close()


def test_what_takes_a_values_place_travels_and_is_stored_like_a_value() -> None:
    erased = Erased("left")
    for found in (
        decode_value(encode_value(erased)),
        from_cell(*to_cell(erased)[:2]),
        decode_value(encode_value([erased]))[0],
    ):
        assert (type(found), found) == (Erased, "left")
    assert readable(erased) == "erased: left"
    assert show(erased).text == "erased"


class Values(Projection):
    """Keeps what was logged, as a projection of somebody's own may."""

    name, version = "values", 1
    tables = "CREATE TABLE logged (position INTEGER PRIMARY KEY, what TEXT) STRICT"

    @on(MetadataLogged)
    def logged(self, db: sqlite.Connection, fact: MetadataLogged, at: Recorded) -> None:
        db.execute("INSERT INTO logged VALUES (?, ?)", (at.position, str(fact.metadata)))


def test_projections_of_ones_own_are_made_again_without_the_values(log: Log) -> None:
    path = follow(Values(), log.data)
    assert SECRET.encode() in path.read_bytes()
    log.erase()
    assert follow(Values(), log.data) == path
    assert SECRET.encode() not in path.read_bytes()
    assert b"left" in path.read_bytes()
    log.archive.close()


def test_an_event_says_by_which_erasure_its_values_went(log: Log) -> None:
    log.erase()
    rebuild_view(log.data)
    with Client(log.data.root) as client:
        found = [client.logged_event(position).erasure for position in (1, 2, 3)]
        assert found == [EventErasure(4, "left", "ada"), EventErasure(4, "left", "ada"), None]
        assert client.logged_event(1).rejected is None
        stated = client.logged_event(4).rejected
        page = web_over(client).get("/event?position=1").text
        assert "The proof is of the event as it was logged" in page
        assert (
            "quarantine"
            not in web_over(client).get("/event?position=4").text.partition("<main")[2].partition("</main>")[0]
        )
    assert stated is not None
    assert stated.about_log
    done = CliRunner().invoke(app, ["tail", "--no-follow", "--json", "--data-dir", str(log.data.root)])
    first = json.loads(done.stdout.splitlines()[0])
    assert (first["effect"], first["erasure"]) == ("accepted", {"position": 4, "reason": "left", "who": "ada"})
    assert (
        "(values were erased)"
        in CliRunner().invoke(app, ["tail", "--no-follow", "--data-dir", str(log.data.root)]).stdout
    )
