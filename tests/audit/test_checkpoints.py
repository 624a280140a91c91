"""Notes, keys, and when the projector signs."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runlore.projector.audit import signing
from runlore.projector.audit.keys import Verifier, load_or_make_signer, load_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.prove import Prover
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.database import MachineErrors, open_writer
from runlore.schemas import CorruptLogError, NotFoundError, SettingsError
from runlore.store.audit.checkpoint import Checkpoint, read_checkpoint
from tests.audit.logs import Folder, messages

# The examples of C2SP's own documents.
NOTE_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_public_example_of_a_signed_note_verifies() -> None:
    """The example of Go's package note, which C2SP signed-note describes."""
    key = Verifier.parse(NOTE_KEY)
    assert key.key_id.hex() == "c74f20a3"
    with pytest.raises(CorruptLogError, match="not a checkpoint"):  # signed well, only no checkpoint
        read_checkpoint(NOTE, [key])
    with pytest.raises(CorruptLogError, match="signature"):
        read_checkpoint(NOTE.replace("answer", "cause"), [key])


def test_a_checkpoint_has_the_form_of_the_specification(tmp_path: Path) -> None:
    signer = load_or_make_signer(tmp_path / "key", "example.com/behind-the-sofa")
    note = Checkpoint("example.com/behind-the-sofa", 20852163, bytes(range(32))).signed(signer)
    lines = note.split("\n")
    assert lines[:4] == [
        "example.com/behind-the-sofa", "20852163", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "",
    ]  # fmt: skip
    assert lines[4].startswith("\u2014 example.com/behind-the-sofa ")
    assert lines[5:] == [""]
    assert read_checkpoint(note, [signer.verifier]) == Checkpoint(
        "example.com/behind-the-sofa", 20852163, bytes(range(32))
    )


def test_signatures_of_witnesses_are_passed_over(tmp_path: Path) -> None:
    log, witness = load_or_make_signer(tmp_path / "log", "log"), load_or_make_signer(tmp_path / "witness", "witness")
    checkpoint = Checkpoint("log", 1, bytes(32))
    cosigned = checkpoint.signed(log) + checkpoint.signed(witness).rpartition("\n\n")[2]
    assert read_checkpoint(cosigned, [log.verifier]) == checkpoint
    with pytest.raises(CorruptLogError, match="signed by witness only"):  # else a log could speak for another
        read_checkpoint(cosigned, [witness.verifier])


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_note_with_one_byte_changed_never_reads_as_another(at: int, change: int) -> None:
    name = "runlore/RUNLORE/e"
    key = load_or_make_signer(_key_file(), name)
    checkpoint = Checkpoint(name, 12, bytes(range(32)))
    note = bytearray(checkpoint.signed(key).encode())
    note[at % len(note)] ^= change
    try:
        found = read_checkpoint(bytes(note).decode(errors="replace"), [key.verifier])
    except CorruptLogError:
        return
    assert found == checkpoint  # unused bits at the end of base64 do not matter


def _key_file() -> Path:
    path = Path(os.environ["RUNLORE_DATA_DIR"])
    path.mkdir(exist_ok=True)
    return path / "key"


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "a\n1\nx\n\n\u2014 a b\n", "o\n01\n{root}\n", "o\n-1\n{root}\n", "o\n1\n{root}", "o\n1\nAAAA\n", "\n1\n{root}\n", "o\n1\n{root}\n\nx\n"],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused_even_when_signed(text: str, tmp_path: Path) -> None:
    signer = load_or_make_signer(tmp_path / "key", "o")
    text = text.replace("{root}", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    template = Checkpoint("o", 1, bytes(32)).signed(signer)
    with pytest.raises(CorruptLogError):
        read_checkpoint(text, [signer.verifier])
    with pytest.raises(CorruptLogError):
        read_checkpoint(template.replace(Checkpoint("o", 1, bytes(32)).text(), text), [signer.verifier])


def test_a_key_is_private_made_once_and_read_back(tmp_path: Path) -> None:
    made = load_or_make_signer(tmp_path / "key", "log")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert load_signer(tmp_path / "key", "log").verifier == made.verifier
    assert Verifier.parse(made.verifier.vkey) == made.verifier
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_keys_made_at_once_are_one_key(tmp_path: Path) -> None:
    found: list[Verifier] = []
    make = lambda: found.append(load_or_make_signer(tmp_path / "key", "log").verifier)  # noqa: E731 -- short
    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    "vkey", ["", "a", "log+00000000+AAAA", NOTE_KEY.replace("c74f20a3", "c74f20a4"), "+" + NOTE_KEY]
)
def test_what_is_no_public_key_is_refused(vkey: str) -> None:
    with pytest.raises(SettingsError, match="not a public key"):
        Verifier.parse(vkey)


def test_what_is_no_private_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_signer(tmp_path / "none", "log")
    (tmp_path / "key").write_text("hello")
    with pytest.raises(SettingsError, match="holds no key"):
        load_signer(tmp_path / "key", "log")


def test_a_checkpoint_is_due_after_enough_leaves_or_time(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(signing.time, "monotonic", lambda: now)
    archive = folder.open()
    writer = CheckpointWriter(archive, folder.key)
    assert not writer.sign_if_due()  # nothing to sign
    archive.append(messages(1, 1))
    assert writer.sign_if_due()  # the first at once
    archive.append(messages(2, 1000))
    assert not writer.sign_if_due()
    archive.append(messages(1001, 1001))
    assert not writer.sign_if_due()  # enough, but too soon: each signature waits for the disk
    now += 1
    assert writer.sign_if_due()
    now += 61
    assert not writer.sign_if_due()  # nothing new
    archive.append(messages(1002, 1002))
    assert writer.sign_if_due()
    archive.append(messages(1003, 1003))
    assert writer.sign()
    assert not writer.sign()
    archive.close()
    assert folder.rows("SELECT size FROM checkpoints") == [(1,), (1001,), (1002,), (1003,)]
    assert folder.verify().problems == []


def test_a_size_is_never_signed_twice(folder: Folder) -> None:
    archive = folder.open()
    archive.append(messages(1, 10))
    first, second = CheckpointWriter(archive, folder.key), CheckpointWriter(archive, folder.key)
    assert first.sign()
    [(note,)] = folder.rows("SELECT note FROM checkpoints")
    assert not second.sign()
    assert not archive.add_checkpoint(10, "another")
    archive.close()
    assert folder.rows("SELECT note FROM checkpoints") == [(note,)]


def test_checkpoints_and_tree_are_append_only_even_for_a_shell(folder: Folder) -> None:
    folder.fill([messages(1, 300)])
    connection = open_writer(folder.log).conn
    for table, column in (("checkpoints", "note"), ("tree_leaves", "hashes"), ("tree_nodes", "hash")):
        for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
            with pytest.raises(MachineErrors, match="append-only"):
                connection.execute(statement)
    connection.close()


_ENDLESS = """
import sys
from pathlib import Path
from tests.audit.logs import Folder, messages
from runlore.projector.audit.signing import CheckpointWriter
folder = Folder(Path(sys.argv[1]))
archive = folder.open()
writer = CheckpointWriter(archive, folder.key)
while True:
    first = archive.position + 1
    archive.append(messages(first, first + 6))
    writer.sign()
    print(archive.position, flush=True)
"""


def test_killed_between_tree_and_signature_no_size_ever_has_two_roots(folder: Folder, tmp_path: Path) -> None:
    notes: dict[object, object] = {}
    for lines in (1, 9, 40):
        process = subprocess.Popen([sys.executable, "-c", _ENDLESS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        for _ in range(lines):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait(90)
        process.stdout.close()
        report = folder.verify()
        assert report.problems == []
        for size, note in folder.rows("SELECT size, note FROM checkpoints"):
            assert notes.setdefault(size, note) == note
        assert folder.rows("SELECT position FROM tree_state") == folder.rows("SELECT position FROM log_state")
    assert len(notes) >= 40


def test_a_log_that_grows_meanwhile_verifies(folder: Folder, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _ENDLESS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        positions: list[int] = []
        for _ in range(12):
            for _ in range(5):
                assert process.stdout.readline()
            report = folder.verify()
            assert report.problems == []
            positions.append(report.position)
            with contextlib.closing(open_audited(folder.log)) as connection:
                prover = Prover(connection, [folder.verifier()])
                assert prover.event(1).position == 1
        assert len(set(positions)) > 3
    finally:
        process.kill()
        process.communicate(timeout=90)
