"""RFC 3161 time stamps: kept beside checkpoints, carried by bundles, and believed with the authority's certificate."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runlore.cli.app import app
from runlore.projector.archiving import timestamping
from runlore.projector.archiving.timestamping import Timestamping
from runlore.projector.audit.bundle import write_bundle
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.prove import Prover
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.audit.timestamps import Authority, ask, stamped_text
from runlore.projector.state import ServiceState
from runlore.schemas import SettingsError, read_settings
from runlore.store.audit.stored_stamps import read_stamps
from runlore.store.folder import DataDir
from tests.audit.bundles import in_json, rewritten
from tests.audit.logs import Folder, messages, tamper
from tests.authorities import StampingAuthority, make_authority, serving
from tests.patience import until
from tests.projector.nats_tools import made_events, publish_all
from tests.projector.service_tools import running

NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> StampingAuthority:
    return make_authority(tmp_path_factory.mktemp("authority") / "ours")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> StampingAuthority:
    return make_authority(tmp_path_factory.mktemp("authority") / "other")


@pytest.fixture
def served(authority: StampingAuthority) -> Iterator[str]:
    with serving(authority) as url:
        yield url


def grow(folder: Folder, url: str, last: int, looks: Callable[[Timestamping], Any]) -> ServiceState:
    """Ten more events, signed; then the projector's looks for a time stamp."""
    state = ServiceState()
    with contextlib.closing(folder.open()) as archive:
        archive.append(messages(last - 9, last))
        CheckpointWriter(archive, folder.key).sign()
        asyncio.run(looks(Timestamping(url, archive, state)))
    return state


def look(stamps: Timestamping) -> Any:
    return stamps.look()


def stamped(folder: Folder) -> list[int]:
    with contextlib.closing(open_audited(folder.log)) as log:
        return [stamp.size for stamp in read_stamps(log)]


def bundled(folder: Folder, path: Path, *positions: int) -> Path:
    with contextlib.closing(open_audited(folder.log)) as log:
        write_bundle(path, Prover(log, [folder.verifier()]), "default", ["model:m"], positions)
    return path


def checked(folder: Folder, bundle: Path, certificate: Path, *more: str) -> Result:
    command = ["audit", "check", str(bundle), "--key", folder.verifier().vkey, "--tsa-cert", str(certificate)]
    return CliRunner().invoke(app, [*command, *more])


@pytest.fixture
def grown(folder: Folder, served: str) -> Folder:
    """30 leaves; the checkpoints of 10 and 20 have time stamps."""
    grow(folder, served, 10, look)
    grow(folder, served, 20, look)
    grow(folder, NOWHERE, 30, look)
    return folder


def test_a_checkpoint_is_stamped_and_one_a_minute_is_enough(
    folder: Folder, served: str, authority: StampingAuthority
) -> None:
    before = authority.asked

    async def looks(stamps: Timestamping) -> None:
        await stamps.look()
        await stamps.look()  # nothing is new
        with contextlib.closing(folder.open()) as archive:
            archive.append(messages(11, 12))
            CheckpointWriter(archive, folder.key).sign()
        await stamps.look()  # not a minute later
        assert stamped(folder) == [10]
        await stamps.look(last=True)

    state = grow(folder, served, 10, looks)
    assert (stamped(folder), authority.asked - before, state.problems) == ([10, 12], 2, {})


def test_an_authority_that_is_away_is_in_health_and_asked_again(
    folder: Folder, authority: StampingAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(authority) as url:
        pass
    state = grow(folder, url, 10, look)
    assert "does not stamp the checkpoint" in state.problems["time stamps"]

    async def patient(stamps: Timestamping) -> None:
        await stamps.look()
        with serving(authority, int(url.rstrip("/").rpartition(":")[2])):
            await stamps.look(last=True)
            assert stamped(folder) == [], "it was away just now"
            monkeypatch.setattr(timestamping.time, "monotonic", lambda: float("inf"))
            await stamps.look()

    state = grow(folder, url, 20, patient)
    assert (stamped(folder), state.problems) == ([20], {})


@pytest.mark.parametrize("answer", [b"", b"no time stamp", b"\x30\x03\x02\x01\x02" * 20_000])
def test_an_answer_that_is_no_time_stamp_is_not_kept(
    folder: Folder, served: str, authority: StampingAuthority, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(authority, "reply", lambda _: answer)
    state = grow(folder, served, 10, look)
    assert (stamped(folder), "time stamp" in state.problems["time stamps"]) == ([], True)


def test_a_stamp_of_something_else_is_not_kept(folder: Folder, served: str, authority: StampingAuthority,
                                               monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    replayed = ask(served, b"something else")
    monkeypatch.setattr(authority, "reply", lambda _: replayed)
    state = grow(folder, served, 10, look)
    assert "something else than it was asked to" in state.problems["time stamps"]
    assert stamped(folder) == []


def verified(folder: Folder, certificate: Path) -> tuple[int, dict[str, Any]]:
    command = ["audit", "verify", "--offline", "--no-replay", "--json", "--key", folder.verifier().vkey]
    done = CliRunner().invoke(app, [*command, "--tsa-cert", str(certificate), "--data-dir", str(folder.log.parents[1])])
    return done.exit_code, json.loads(done.stdout)


@pytest.fixture
def placed(grown: Folder, tmp_path: Path) -> Folder:
    """The log where a data folder has it."""
    (tmp_path / "data" / "projection").mkdir(parents=True)
    shutil.copy(grown.log, tmp_path / "data" / "projection" / "log.db")
    found = Folder(tmp_path / "data" / "projection")
    shutil.copy(grown.key, found.key)
    return found


def test_an_auditor_verifies_the_stamps_of_a_log(
    placed: Folder, authority: StampingAuthority, other: StampingAuthority
) -> None:
    code, report = verified(placed, authority.certificates)
    assert (code, report["stamped"], report["stamped_at"][:2]) == (0, 20, "20")
    assert verified(placed, authority.root)[0] == 0
    code, report = verified(placed, other.root)
    assert (code, "of 10 leaves: the time stamp is not one" in report["problems"][0]["what"]) == (4, True)
    tamper(placed.log, "UPDATE checkpoints SET created_ns = 0 WHERE size = 30")
    code, report = verified(placed, authority.root)
    assert (code, report["problems"][0]["what"]) == (4, "no time stamp of the checkpoint of 30 leaves")


FORGED_ROWS = {
    "of another checkpoint": "UPDATE timestamps SET response = (SELECT response FROM timestamps WHERE size = 10)",
    "changed": "UPDATE timestamps SET response = CAST(substr(response, 1, 900) || x'00' AS BLOB) WHERE size = 20",
    "cut": "UPDATE timestamps SET response = substr(response, 1, 500)",
    "none": "UPDATE timestamps SET response = x''",
    "all removed": "DELETE FROM timestamps",
    "of no checkpoint": "UPDATE timestamps SET size = 15 WHERE size = 20",
}


@pytest.mark.parametrize("forgery", FORGED_ROWS)
def test_a_forged_stamp_of_a_log_is_named(placed: Folder, authority: StampingAuthority, forgery: str) -> None:
    tamper(placed.log, FORGED_ROWS[forgery])
    code, report = verified(placed, authority.root)
    assert (code, report["problems"][0]["place"]) == (4, "checkpoint")


def test_a_bundle_carries_the_oldest_stamp_that_covers_its_events(
    grown: Folder, authority: StampingAuthority, tmp_path: Path
) -> None:
    for name, positions, size, covered in (("old", (3, 9), 10, 2), ("both", (3, 15), 20, 2), ("new", (3, 25), 20, 1)):
        bundle = bundled(grown, tmp_path / name, *positions)
        done = checked(grown, bundle, authority.root, "--json")
        found = json.loads(done.stdout)["timestamp"]
        assert (done.exit_code, found["size"], found["events"]) == (0, size, covered)
    done = checked(grown, tmp_path / "old", authority.root)
    assert "STAMPED the first 10 leaves, 2 of the events among them, existed at 20" in done.stderr
    unasked = CliRunner().invoke(app, ["audit", "check", str(tmp_path / "old"), "--key", grown.verifier().vkey])
    assert "a time stamp of the first 10 leaves was not checked" in unasked.stderr


def test_what_a_forger_makes_of_a_stamped_bundle_is_refused(
    grown: Folder, authority: StampingAuthority, other: StampingAuthority, tmp_path: Path
) -> None:
    first, second = bundled(grown, tmp_path / "first", 3), bundled(grown, tmp_path / "second", 15)
    assert checked(grown, first, other.root).exit_code == 4, "another authority's"
    mixed = _exchange(first, second, tmp_path / "mixed", "timestamp.tsr")
    assert "not one of this checkpoint" in checked(grown, mixed, authority.root).stderr
    both = _exchange(first, second, tmp_path / "both", "timestamp.tsr", "stamped-checkpoint.txt")
    assert "does not begin with that of the stamped checkpoint" in checked(grown, both, authority.root).stderr
    for part in ("timestamp.tsr", "stamped-checkpoint.txt"):
        done = checked(grown, _exchange(first, None, tmp_path / "less", part), authority.root)
        assert "a part of a time stamp" in done.stderr
    gone = _exchange(first, None, tmp_path / "gone", "timestamp.tsr", "stamped-checkpoint.txt")
    rewritten(gone, in_json(lambda content: content.pop("stamped") and None))
    assert "the bundle has no time stamp" in checked(grown, gone, authority.root).stderr


def _exchange(bundle: Path, other: Path | None, path: Path, *names: str) -> Path:
    """A copy with members of another bundle in place of its own, or without them."""
    with zipfile.ZipFile(bundle) as archive, zipfile.ZipFile(path, "w") as forged:
        for name in archive.namelist():
            if name not in names:
                forged.writestr(name, archive.read(name))
            elif other is not None:
                with zipfile.ZipFile(other) as source:
                    forged.writestr(name, source.read(name))
    return path


def test_a_projector_has_its_checkpoints_stamped(
    server: Any, data: DataDir, served: str, authority: StampingAuthority
) -> None:
    told = read_settings(data_dir=data.root, timestamp_url=served)
    with running(told) as service:
        until(lambda: service.state.connected or service.error is not None)
        publish_all(told, made_events(5))
        service.folded(5)
    command = ["audit", "verify", "--offline", "--no-replay", "--tsa-cert", str(authority.root)]
    done = CliRunner().invoke(app, [*command, "--data-dir", str(data.root)])
    assert (done.exit_code, "the authority saw the log of 5 leaves at 20" in done.stdout) == (0, True), done.output


def test_openssl_agrees(grown: Folder, authority: StampingAuthority, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundled(grown, tmp_path / "bundle", 3)) as archive:
        archive.extract("timestamp.tsr", tmp_path)
        text = stamped_text(archive.read("stamped-checkpoint.txt").decode())
    command = f"openssl ts -verify -in timestamp.tsr -data text -CAfile {authority.root}"
    (tmp_path / "text").write_bytes(text)
    assert (
        "Verification: OK" in subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True).stdout
    )


def test_certificates_that_lead_to_no_root_are_refused(authority: StampingAuthority, tmp_path: Path) -> None:
    for path, why in ((authority.leaf, "issued itself"), (tmp_path / "none", "holds no certificates")):
        with pytest.raises(SettingsError, match=why):
            Authority.read(path)
    (tmp_path / "none").write_text("nonsense")
    with pytest.raises(SettingsError, match="holds no certificates"):
        Authority.read(tmp_path / "none")


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="RUNLORE_TIMESTAMP_URL"):
        read_settings({"RUNLORE_TIMESTAMP_URL": "ftp://x"})
