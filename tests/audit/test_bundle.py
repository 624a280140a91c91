"""Bundles: what they prove, and that nothing else passes."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runlore.projector.archiving.archive import Archive
from runlore.projector.audit import bundle
from runlore.projector.audit.bundle import check_bundle, write_bundle
from runlore.projector.audit.keys import Verifier, load_or_make_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.prove import Prover, Signed
from runlore.projector.audit.signing import CheckpointWriter
from runlore.schemas import ArgumentError, CorruptLogError, NotFoundError
from runlore.store.audit.checkpoint import signed_by
from runlore.store.audit.leaf import origin_of
from runlore.store.log_rows import Received
from tests.audit.bundles import TextChange, in_json, rewritten
from tests.audit.logs import Folder, message, messages
from tests.events import LogBuilder

HOSTILE = '<img src=x onerror="alert(1)">&$title'


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def fill(folder: Folder) -> Signed:
    """1,500 leaves with a gap and duplicates, and the checkpoint of the first 700."""
    log = LogBuilder()
    log.log("model:m@1", {HOSTILE: {"x": HOSTILE, "list": [1, 2]}, "plain": 1.5})
    archive = folder.open()
    writer = CheckpointWriter(archive, folder.key)
    first = log.rows[0]
    archive.append([Received(1, first.event_id, first.recorded_ns, first.subject, b"", first.payload)])
    archive.append(messages(2, 700))
    writer.sign()
    archive.record_gap(701, 5000, "the stream no longer holds these positions")
    archive.append([message(5001, event_id="event-3"), message(5002, event_id=None), *messages(5003, 5799)])
    writer.sign()
    archive.close()
    [(note,)] = folder.rows("SELECT note FROM checkpoints WHERE size = 700")
    return Signed(str(note), *signed_by(str(note), [folder.verifier()]))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, Signed]:
    folder = Folder(tmp_path_factory.mktemp("template"))
    return folder, fill(folder)


@pytest.fixture
def since(folder: Folder, template: tuple[Folder, Signed]) -> Signed:
    """The older checkpoint of the filled folder."""
    shutil.copy(template[0].log, folder.log)
    shutil.copy(template[0].key, folder.key)
    return template[1]


def bundled(folder: Folder, path: Path, positions: list[int], since: Signed | None = None) -> Path:
    with contextlib.closing(open_audited(folder.log)) as connection:
        prover = Prover(connection, [folder.verifier()])
        write_bundle(path, prover, "default", ["model:m@1"], positions, since)
    return path


POSITIONS = [1, 2, 3, 256, 257, 700, 5001, 5002, 5799]


def test_every_event_of_a_log_can_be_proved(folder: Folder, since: Signed) -> None:
    with contextlib.closing(open_audited(folder.log)) as connection:
        prover = Prover(connection, [folder.verifier()])
        for position in [*range(1, 701, 7), *range(5001, 5800, 7)]:
            assert prover.event(position).position == position
        with pytest.raises(NotFoundError, match="no event 800"):
            prover.event(800)


def test_an_event_after_the_last_checkpoint_is_not_proved_yet(folder: Folder, since: Signed) -> None:
    folder.fill([messages(5800, 5800)], sign=False)
    with contextlib.closing(open_audited(folder.log)) as connection:
        prover = Prover(connection, [folder.verifier()])
        assert prover.event(5799)
        with pytest.raises(NotFoundError, match="not under a signed checkpoint yet"):
            prover.event(5800)


def test_a_bundle_is_checked_with_the_public_key_alone(folder: Folder, since: Signed, tmp_path: Path) -> None:
    path = bundled(folder, tmp_path / "bundle", POSITIONS, since)
    key = folder.verifier()
    folder.log.unlink()
    checked = check_bundle(path, [key])
    assert [event.position for event in checked.bundle.events] == POSITIONS
    assert checked.bundle.events[0].payload
    assert checked.since == since.checkpoint
    assert checked.checkpoint.size == 1500


def test_equal_contents_make_equal_files(folder: Folder, since: Signed, tmp_path: Path) -> None:
    one, two = (bundled(folder, tmp_path / name, POSITIONS).read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_bundle_of_nothing_or_too_much_is_not_written(
    folder: Folder, since: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MAX_EVENTS", 2)
    for positions in ([], [1, 2, 3]):
        with pytest.raises(ArgumentError, match="a bundle has 1 to 2"):
            bundled(folder, tmp_path / "bundle", positions)
    assert not (tmp_path / "bundle").exists()


def test_another_key_does_not_do(folder: Folder, since: Signed, tmp_path: Path) -> None:
    path = bundled(folder, tmp_path / "bundle", POSITIONS)
    other = load_or_make_signer(tmp_path / "other", origin_of("epoch-1")).verifier
    with pytest.raises(CorruptLogError, match="no trusted key"):
        check_bundle(path, [other])


def first(field: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["events"][1].update({field: value})


CHANGES: dict[str, dict[str, TextChange]] = {
    "payload": in_json(first("payload", "AAAA")),
    "headers": in_json(first("headers", "AAAA")),
    "subject": in_json(first("subject", "runlore.default.other")),
    "time": in_json(first("recorded_ns", 1)),
    "event ID": in_json(first("event_id", "x")),
    "no event ID": in_json(first("event_id", None)),
    "position": in_json(first("position", 3)),
    "index": in_json(first("index", 2)),
    "text that is none": in_json(first("subject", "\ud800")),
    "huge position": in_json(first("position", 2**70)),
    "no proof": in_json(first("proof", [])),
    "short hash": in_json(first("proof", ["AAAA"])),
    "endless proof": in_json(lambda content: content["events"][1]["proof"].extend(["A" * 43 + "="] * 100)),
    "epoch": in_json(lambda content: content.update(epoch="epoch-2")),
    "format": in_json(lambda content: content.update(format="runlore bundle 9")),
    "consistency": in_json(lambda content: content["consistency"].pop()),
    "no consistency": in_json(lambda content: content.update(consistency=None)),
    "not JSON": {"bundle.json": lambda text: text[:-10]},
    "no bundle": {"bundle.json": None},
    "checkpoint": {"checkpoint.txt": lambda note: note.replace("\n1500\n", "\n1501\n")},
    "no checkpoint": {"checkpoint.txt": None},
    "older checkpoint": {"since-checkpoint.txt": lambda note: note.replace("\n700\n", "\n701\n")},
    "no older checkpoint": {"since-checkpoint.txt": None},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_bundle_fails(folder: Folder, since: Signed, tmp_path: Path, change: str) -> None:
    path = bundled(folder, tmp_path / "bundle", POSITIONS, since)
    rewritten(path, {})
    assert check_bundle(path, [folder.verifier()])
    rewritten(path, CHANGES[change])
    with pytest.raises(CorruptLogError):
        check_bundle(path, [folder.verifier()])


def test_a_damaged_file_fails(folder: Folder, since: Signed, tmp_path: Path) -> None:
    path = bundled(folder, tmp_path / "bundle", POSITIONS)
    content = path.read_bytes()
    for damaged in (b"", b"hello", content[:-30], content[:100] + b"\xff" * 50 + content[150:]):
        path.write_bytes(damaged)
        with pytest.raises(CorruptLogError, match="not a bundle"):
            check_bundle(path, [folder.verifier()])
    with pytest.raises(NotFoundError):
        check_bundle(tmp_path / "none", [folder.verifier()])


def test_the_report_escapes_what_people_logged(folder: Folder, since: Signed, tmp_path: Path) -> None:
    path = bundled(folder, tmp_path / "bundle", POSITIONS)
    page = zipfile.ZipFile(path).read("report.html").decode()
    assert "<img" not in page
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;$title" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_an_older_checkpoint_of_a_rewritten_log_is_refused(folder: Folder, since: Signed, tmp_path: Path) -> None:
    forged = since._replace(checkpoint=since.checkpoint._replace(root=bytes(32)))
    with pytest.raises(CorruptLogError, match="does not begin with"):
        bundled(folder, tmp_path / "bundle", [1], forged)
    longer = since._replace(checkpoint=since.checkpoint._replace(size=1501))
    with pytest.raises(CorruptLogError, match="only 1500"):
        bundled(folder, tmp_path / "bundle", [1], longer)


def test_no_proof_is_given_from_a_tampered_log(folder: Folder, since: Signed) -> None:
    folder.tamper("UPDATE log SET payload = x'00' WHERE position = 300")
    with contextlib.closing(open_audited(folder.log)) as connection:
        prover = Prover(connection, [folder.verifier()])
        assert prover.event(299)
        with pytest.raises(CorruptLogError, match="audit verify"):
            prover.event(300)


def test_a_log_without_a_checkpoint_says_so(folder: Folder) -> None:
    Archive.open(folder.log, "epoch-1").close()
    with (
        contextlib.closing(open_audited(folder.log)) as connection,
        pytest.raises(NotFoundError, match="checkpoint yet"),
    ):
        Prover(connection, list[Verifier]())


@pytest.mark.slow
def test_checking_needs_no_data_folder(folder: Folder, since: Signed, tmp_path: Path) -> None:
    path = bundled(folder, tmp_path / "bundle", POSITIONS)
    vkey = tmp_path / "vkey.txt"
    vkey.write_text(folder.verifier().vkey + "\n")
    command = [sys.executable, "-m", "runlore.cli", "audit", "check", str(path), "--key", str(vkey), "--json"]
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, cwd=empty, check=False)
    assert done.returncode == 0, done.stderr
    assert [event["position"] for event in json.loads(done.stdout)["events"]] == POSITIONS
    assert list(empty.iterdir()) == []
    rewritten(path, CHANGES["payload"])
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, cwd=empty, check=False)
    assert (done.returncode, done.stdout) == (4, "")
