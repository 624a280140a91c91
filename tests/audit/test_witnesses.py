"""Witnesses as processes of their own: they cosign what grows, remember it, and never cosign a second history."""

from __future__ import annotations

import base64
import contextlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from runlore.cli.app import app
from runlore.producer import Producer
from runlore.projector.audit.cosignatures import Cosigner, cosigned_at
from runlore.projector.audit.keys import Signer, load_signer, make_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.statements import write_statement
from runlore.projector.audit.witness import Witness
from runlore.projector.audit.witness_policy import read_policy
from runlore.projector.service import Projector
from runlore.schemas import CorruptLogError, EntityRef, MetadataLogged, Settings, SettingsError, read_settings
from runlore.store.audit.checkpoint import Checkpoint
from runlore.store.audit.leaf import origin_of
from runlore.store.audit.merkle import consistency_proof, hash_leaf, root_of, subtree_root
from runlore.store.audit.stored_notes import newest_note
from runlore.store.folder import DataDir
from tests.patience import PATIENCE, until
from tests.projector.nats_tools import made_events, publish_all
from tests.projector.service_tools import Running, running

LEAVES = [hash_leaf(b"%d" % number) for number in range(64)]


def node(level: int, index: int) -> bytes:
    width = 1 << level
    return root_of(b"".join(LEAVES[index * width : (index + 1) * width]))


def checkpoint(size: int, origin: str = "a/b/c") -> Checkpoint:
    return Checkpoint(origin, size, subtree_root(0, size, node))


class WitnessProcess:
    """`runlore witness` over a folder; `url` is where it listens."""

    def __init__(self, folder: Path, name: str, *logs: str, port: int = 0) -> None:
        self.folder = folder
        trusted = [part for log in logs for part in ("--log", log)]
        command = ["witness", str(folder), "--name", name, "--listen", f"127.0.0.1:{port}", *trusted]
        program = [sys.executable, "-c", "from runlore.cli import main; main()", *command]
        self._process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout
        assert self._process.stderr
        self.key = Cosigner.parse(self._process.stdout.readline())
        self.url = self._process.stderr.readline().split()[-1]

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self, how: int = signal.SIGTERM) -> None:
        self._process.send_signal(how)
        self._process.communicate(timeout=90)

    def post(self, body: str, call: str = "add-checkpoint") -> tuple[int, str, str]:
        request = urllib.request.Request(f"{self.url}/{call}", body.encode())
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                return answer.status, answer.read().decode(), answer.headers["Content-Type"]
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers["Content-Type"]

    def add(self, old: int, proof: Sequence[bytes], note: str) -> tuple[int, str, str]:
        lines = "".join(f"{base64.b64encode(one).decode()}\n" for one in proof)
        return self.post(f"old {old}\n{lines}\n{note}")


@contextlib.contextmanager
def witnessing(folder: Path, name: str, *logs: str) -> Iterator[WitnessProcess]:
    witness = WitnessProcess(folder, name, *logs)
    try:
        yield witness
    finally:
        witness.stop()


def test_the_example_of_the_specification_has_its_key_id() -> None:
    """The line of C2SP tlog-cosignature is by a key that is not printed there: only its form can be read."""
    key = Cosigner("witness.example.com/w1", bytes(32))
    assert Cosigner.parse(key.vkey) == key
    with pytest.raises(SettingsError):
        Cosigner.parse(key.vkey.replace("+B", "+A"))


def test_a_witness_and_a_log_never_share_a_folder(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    with Producer(read_settings(data_dir=data.root, mode="offline")) as producer:
        producer.emit_nowait(MetadataLogged((EntityRef("model", "churn"),), {"n": 1}))
    refused = CliRunner().invoke(app, ["witness", str(data.root), "--name", "example.org/w", "--show-key"])
    assert (refused.exit_code, "is a data folder (it has outbox)" in refused.stderr) == (2, True), refused.stderr
    assert not (data.root / "witness.key").exists()
    witness = tmp_path / "witness"
    made = CliRunner().invoke(app, ["witness", str(witness), "--name", "example.org/w", "--show-key"])
    assert made.exit_code == 0, made.stderr
    before = set(witness.iterdir())
    with pytest.raises(SettingsError, match="is the folder of a witness"):
        Projector(read_settings(data_dir=witness, url="nats://127.0.0.1:1")).run()
    up = CliRunner().invoke(app, ["up", "--data-dir", str(witness)])
    assert (up.exit_code, "is the folder of a witness" in up.stderr) == (2, True), up.stderr
    assert set(witness.iterdir()) == before


def test_a_witness_answers_as_the_protocol_says_and_remembers_over_a_kill(tmp_path: Path) -> None:
    log, other = make_signer(tmp_path / "log", "a/b/c"), make_signer(tmp_path / "other", "a/b/c")
    witness = WitnessProcess(tmp_path / "w", "witness.example/w1", log.verifier.vkey)
    code, body, _ = witness.add(0, [], note := checkpoint(5).signed(log))
    assert (code, cosigned_at(f"{note}{body}", witness.key) is not None) == (200, True)
    assert witness.add(0, [], note)[:3] == (409, "5\n", "text/x.tlog.size")
    assert witness.add(5, [], note)[0] == 200  # the same again
    grown = checkpoint(9).signed(log)
    assert witness.add(5, [bytes(32)], grown)[0] == 422
    assert witness.add(5, [], checkpoint(5)._replace(root=bytes(32)).signed(log))[0] == 409
    assert witness.add(10, [], grown)[0] == 400
    assert witness.add(5, consistency_proof(5, 9, node), checkpoint(9).signed(other))[0] == 403
    assert witness.add(0, [], checkpoint(5, "x/y/z").signed(make_signer(tmp_path / "z", "x/y/z")))[0] == 404
    for strange in ("", "old\n\n", "old 05\n\nx", "old 5\nAAAA\n\n" + grown, "old -1\n\n" + grown, "old 5\n" + grown):
        assert witness.post(strange)[0] == 400, strange
    assert witness.post("x" * 200_000)[0] == 413
    witness.stop(signal.SIGKILL)
    with witnessing(tmp_path / "w", "witness.example/w1", log.verifier.vkey) as again:
        assert again.key == witness.key
        assert again.add(0, [], grown)[:2] == (409, "5\n")
        assert again.add(5, consistency_proof(5, 9, node), grown)[0] == 200
        assert again.add(5, consistency_proof(5, 9, node), grown)[:2] == (409, "9\n")


@pytest.mark.skipif(sys.platform != "linux", reason="another process's limits are Linux's")
def test_half_open_connections_do_not_silence_a_witness(tmp_path: Path) -> None:
    log = make_signer(tmp_path / "log.key", origin_of("epoch"))
    with (
        witnessing(tmp_path / "witness", "example.org/w", log.verifier.vkey) as witness,
        contextlib.ExitStack() as held,
    ):
        address = urlsplit(witness.url)
        resource.prlimit(witness.pid, resource.RLIMIT_NOFILE, (128, 128))
        for _ in range(200):
            opened = held.enter_context(socket.create_connection((address.hostname, address.port), PATIENCE))
            opened.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
        assert witness.post("no request")[0] == 400


def test_a_witness_learns_the_next_key_from_the_one_it_knows(tmp_path: Path) -> None:
    old, new = make_signer(tmp_path / "old", "a/b/c"), make_signer(tmp_path / "new", "a/b/c")
    thief = make_signer(tmp_path / "thief", "a/b/c")

    def statement(reason: Any, one: Signer, next_one: Signer, *signers: Signer) -> str:
        data = DataDir(tmp_path)
        write_statement(data, reason, (5, bytes(32)), (one.verifier, next_one.verifier), [*signers])
        return data.key_statement.read_text()

    with witnessing(tmp_path / "w", "w", old.verifier.vkey) as witness:
        assert witness.add(0, [], checkpoint(5).signed(old))[0] == 200
        grown = consistency_proof(5, 9, node), checkpoint(9).signed(new)
        assert witness.add(5, *grown)[0] == 403
        assert witness.post(statement("rotated", old, thief, thief), "add-statement")[0] == 403
        assert witness.post(statement("lost", old, thief, thief), "add-statement")[0] == 403
        assert witness.post(statement("rotated", old, new, old), "add-statement")[0] == 200
        assert witness.add(5, *grown)[0] == 200
        assert witness.add(9, [], checkpoint(9).signed(old))[0] == 403, "the old key gave way"
        part = load_signer(tmp_path / "new", "a/b/c/1234")
        elsewhere = load_signer(tmp_path / "new", "another/log/x")
        for named, code in ((part, 200), (elsewhere, 404)):
            witness.post(statement("restored", new, named, new), "add-statement")
            assert witness.add(0, [], checkpoint(3, named.verifier.name).signed(named))[0] == code


def test_a_key_after_a_lost_one_is_given_to_a_witness_and_a_retired_one_never_comes_back(tmp_path: Path) -> None:
    first, second, third = (make_signer(tmp_path / name, "a/b/c") for name in ("first", "second", "third"))
    own, data = make_signer(tmp_path / "own", "w"), DataDir(tmp_path)

    def witness(*logs: Signer) -> Witness:
        return Witness(own, tmp_path / "witness.json", [one.verifier for one in logs])

    def codes(asked: Witness, *notes: str) -> list[int]:
        return [asked.add_checkpoint(f"old 5\n\n{note}".encode()).status.value for note in notes]

    with pytest.raises(SettingsError, match="give --log"):
        witness()
    assert witness(first).add_checkpoint(f"old 0\n\n{checkpoint(5).signed(first)}".encode()).status.value == 200
    signed = [checkpoint(5).signed(one) for one in (first, second, third)]
    assert codes(witness(first), *signed) == [200, 403, 403]
    assert codes(witness(first, second), *signed) == [200, 200, 403], "given after the log had grown"
    rotating = witness(first)
    write_statement(data, "rotated", (5, bytes(32)), (first.verifier, third.verifier), [first])
    assert rotating.add_statement(data.key_statement.read_bytes()).status.value == 200
    assert codes(rotating, *signed) == [403, 200, 200]
    assert codes(witness(first), *signed) == [403, 200, 200], "its command still names the old key"


def policy(path: Path, witnesses: Sequence[WitnessProcess], least: int) -> Path:
    lines = [f"witness w{number} {one.key.vkey} {one.url}" for number, one in enumerate(witnesses)]
    names = " ".join(f"w{number}" for number in range(len(witnesses)))
    path.write_text("\n".join(["# ours", *lines, f"group all {least} {names}", "quorum all", ""]))
    return path


def note_of(data: DataDir) -> str:
    with contextlib.closing(open_audited(data.log)) as log:
        stored = newest_note(log)
    assert stored
    return stored.note


def verify(data: DataDir, path: Path) -> tuple[int, str]:
    arguments = ["audit", "verify", "--offline", "--no-replay", "--witness-policy", str(path)]
    done = CliRunner().invoke(app, [*arguments, "--data-dir", str(data.root)])
    return done.exit_code, done.output


def archive(settings: Settings, first: int, last: int) -> Running:
    with running(settings) as service:
        until(lambda: service.state.connected or service.error is not None)
        publish_all(settings, made_events(last)[first - 1 :])
        service.folded(last)
    return service


@pytest.fixture
def archived(server: Any, settings: Settings, data: DataDir) -> DataDir:
    archive(settings, 1, 10)
    return data


def log_key(data: DataDir) -> Signer:
    with contextlib.closing(open_audited(data.log)) as log:
        epoch = log.execute("SELECT epoch FROM log_state").fetchone()[0].decode()
    return load_signer(data.checkpoint_key, origin_of(epoch))


def test_checkpoints_carry_cosignatures_and_an_auditor_demands_two_of_three(archived: DataDir, tmp_path: Path) -> None:
    vkey = log_key(archived).verifier.vkey
    with contextlib.ExitStack() as stack:
        witnesses = [stack.enter_context(witnessing(tmp_path / f"w{n}", f"w.example/{n}", vkey)) for n in range(2)]
        absent = stack.enter_context(witnessing(tmp_path / "w2", "w.example/2", vkey))
        two, three = (
            policy(tmp_path / "two", [*witnesses, absent], 2),
            policy(tmp_path / "three", [*witnesses, absent], 3),
        )
        absent.stop()
        assert verify(archived, two)[0] == 4, "nobody has seen it yet"
        told = read_settings(data_dir=archived.root, witness_policy=str(two))
        service = archive(told, 11, 20)
        note = note_of(archived)
        assert [cosigned_at(note, one.key) is not None for one in (*witnesses, absent)] == [True, True, False]
        assert "w2 does not cosign" in service.state.problems["witness (w2)"]
        code, output = verify(archived, two)
        assert (code, "saw the log up to 20 leaves" in output) == (0, True), output
        assert verify(archived, three)[0] == 4
        assert read_policy(two).witnessed_by(note).keys() == {"w0", "w1"}
        archive(told, 21, 25)  # with a proof that it only grew
        assert len(read_policy(two).witnessed_by(note_of(archived))) == 2


@pytest.mark.slow
def test_a_stolen_key_and_an_older_copy_of_everything_do_not_get_past_a_witness(
    archived: DataDir, settings: Settings, server: Any, tmp_path: Path
) -> None:
    """The log, the stream and the key are put back to an older time, and go on with other events."""
    with witnessing(tmp_path / "w", "w.example/1", log_key(archived).verifier.vkey) as witness:
        told = read_settings(data_dir=archived.root, witness_policy=str(policy(tmp_path / "policy", [witness], 1)))
        server.close()
        older = shutil.copytree(archived.root, tmp_path / "older", symlinks=True)
        server.start()
        archive(told, 11, 15)
        signed = note_of(archived)
        server.close()
        shutil.rmtree(archived.root)
        shutil.copytree(older, archived.root, symlinks=True)
        server.start()
        with running(told) as service:
            until(lambda: "15 leaves, this log has 10" in service.state.problems.get("signing", ""))
            publish_all(settings, made_events(10))
            service.folded(20)
            until(lambda: "another root" in service.state.problems.get("signing", ""))
        assert len(note_of(archived)) < len(signed)
        assert verify(archived, tmp_path / "policy")[0] == 4


@pytest.mark.parametrize(
    "text",
    ["", "quorum w", "witness w {key}\nquorum w\nquorum w", "witness w {key}\nwitness v {key}\nquorum w",
     "witness w {key}\ngroup g 2 w\nquorum g", "witness w {key}\ngroup g any w\ngroup h any w\nquorum h",
     "witness none {key}\nquorum none", "witness w x+1+AAAA\nquorum w", "witness w {key} ftp://x\nquorum w",
     "witness w {key} http://x:99999\nquorum w", "witness w {key}\ngroup g some w\nquorum g"],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "policy"
    path.write_text(text.replace("{key}", Cosigner("w", bytes(32)).vkey))
    with pytest.raises(SettingsError):
        read_policy(path)


def test_a_note_may_have_signatures_of_kinds_that_nobody_here_knows() -> None:
    key = Cosigner("w", bytes(32))
    with pytest.raises(CorruptLogError):
        cosigned_at("no note", key)
    assert cosigned_at(f"a\n1\nx\n\n\u2014 w {base64.b64encode(key.key_id + bytes(2428)).decode()}\n", key) is None
