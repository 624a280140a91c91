"""Keys that sign a log give way to each other in the log itself; a log that contradicts what was signed signs nothing."""

from __future__ import annotations

import contextlib
import shutil
import stat
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from nats_tools import made_events, publish_all, until, with_nats
from service_tools import running

from runlore.cli.app import app
from runlore.projector.audit.key_history import read_changes
from runlore.projector.audit.keys import Verifier, load_signer, make_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.verify import verify_log
from runlore.schemas import Settings, SettingsError, read_settings
from runlore.store.audit.checkpoint import signed_by
from runlore.store.audit.leaf import origin_of
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock
from runlore.wire.checkpoints import last_checkpoint
from tests.audit.logs import tamper


def notes(data: DataDir) -> list[str]:
    with contextlib.closing(open_audited(data.log)) as log:
        return [row[0].decode() for row in log.execute("SELECT note FROM checkpoints ORDER BY size")]


def epoch_of(data: DataDir) -> str:
    with contextlib.closing(open_audited(data.log)) as log:
        return str(log.execute("SELECT epoch FROM log_state").fetchone()[0].decode())


def key_of(data: DataDir) -> Verifier:
    return load_signer(data.checkpoint_key, origin_of(epoch_of(data))).verifier


def printed_key(data: DataDir, *arguments: str) -> Verifier:
    done = CliRunner().invoke(app, ["audit", "key", *arguments, "--data-dir", str(data.root)])
    assert done.exit_code == 0, done.stderr
    return Verifier.parse(done.stdout)


def refused(data: DataDir, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["audit", "key", *arguments, "--data-dir", str(data.root)])
    assert done.exit_code in (1, 2)
    return done.stderr


def archive(settings: Settings, first: int, last: int) -> None:
    """Have a projector archive, sign and publish events `first` to `last`, if they are not there yet."""
    with running(settings) as service:
        until(lambda: service.state.connected or service.error is not None)
        publish_all(settings, made_events(last)[first - 1 :])
        service.folded(last)


@pytest.fixture
def archived(server: Any, settings: Settings, data: DataDir) -> DataDir:
    archive(settings, 1, 10)
    return data


def test_a_rotated_key_is_in_the_log_and_who_trusts_the_old_one_trusts_the_next(
    archived: DataDir, settings: Settings
) -> None:
    old = key_of(archived)
    new = printed_key(archived, "rotate")
    assert key_of(archived) == old, "nothing changes before the log says so"
    with running(settings) as service:
        until(lambda: key_of(archived).public == new.public)
        service.folded(11)
        publish_all(settings, made_events(15)[10:])
        service.folded(16)
    assert signed_by(notes(archived)[-1], [new])[0].size == 16
    with contextlib.closing(open_audited(archived.log)) as log:
        [change] = read_changes(log)
    assert (change.position, change.old, change.new, change.by_new) == (11, old, new, True)
    for trusted in (old, new):
        assert verify_log(archived.log, [trusted]).problems == []
    [stranger] = verify_log(archived.log, [make_signer(archived.root / "other", old.name).verifier]).problems
    assert "no trusted key" in stranger.what
    assert [path.name for path in archived.root.glob("checkpoint.*")].count("checkpoint.statement") == 0
    assert len(list(archived.root.glob("checkpoint.key.retired-*"))) == 1
    assert service.state.quarantined == 0
    shown = CliRunner().invoke(app, ["tail", "--no-follow", "--data-dir", str(archived.root)])
    assert "the key that signs the log was rotated" in shown.output


def test_the_old_key_signs_no_tree_after_it_was_replaced(archived: DataDir, settings: Settings) -> None:
    old = load_signer(archived.checkpoint_key, origin_of(epoch_of(archived)))
    printed_key(archived, "rotate")
    with running(settings) as service:
        service.folded(11)
        until(lambda: key_of(archived) != old.verifier)
        publish_all(settings, made_events(12)[10:])
        service.folded(13)
    # A thief of the old key signs the newest tree with it.
    newest = signed_by(notes(archived)[-1], [key_of(archived)])[0]
    tamper(archived.log, f"UPDATE checkpoints SET note = '{newest.signed(old)}' WHERE size = {newest.size}")
    [problem] = verify_log(archived.log, [old.verifier]).problems
    assert (problem.place, f"for {newest.size} leaves" in problem.what) == ("checkpoint", True)
    shutil.copy(next(archived.root.glob("checkpoint.key.retired-*")), archived.checkpoint_key)
    with running(settings) as service:
        until(lambda: "signing" in service.state.problems)
        assert "the key before it" in service.state.problems["signing"]


def test_another_key_in_its_place_signs_nothing_until_the_log_says_that_the_old_one_is_lost(
    archived: DataDir, settings: Settings
) -> None:
    old = key_of(archived)
    archived.checkpoint_key.unlink()
    make_signer(archived.checkpoint_key, old.name)
    signed = notes(archived)
    with running(settings) as service:
        until(lambda: "signing" in service.state.problems)
        assert "another key than the one that signed" in service.state.problems["signing"]
    assert notes(archived) == signed
    archived.checkpoint_key.unlink()
    new = printed_key(archived, "--new")
    with running(settings) as service:
        service.folded(11)
        until(lambda: "signing" not in service.state.problems)
    assert signed_by(notes(archived)[-1], [new])[0].size == 11
    assert verify_log(archived.log, [old, new]).problems == []
    report = verify_log(archived.log, [old])
    assert len(report.problems) == 1, "nothing ties the new key to the lost one"
    assert "lost" in report.key_changes[0]


def test_checkpoints_are_on_a_stream_and_in_files_of_their_own(
    server: Any, settings: Settings, data: DataDir, tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere.txt"
    archive(read_settings(data_dir=data.root, checkpoint_targets=str(target)), 1, 10)
    newest = notes(data)[-1]
    assert target.read_text() == newest
    assert with_nats(settings, lambda connection: last_checkpoint(connection, epoch_of(data))) == newest


def test_an_older_copy_of_the_log_signs_nothing_until_it_has_caught_up(archived: DataDir, settings: Settings) -> None:
    before = shutil.copytree(archived.projection, archived.root / "older")
    archive(settings, 11, 20)
    shutil.rmtree(archived.projection)
    before.rename(archived.projection)
    assert len(notes(archived)) > 0
    with running(settings) as service:
        service.folded(20)
    report = verify_log(archived.log, [key_of(archived)])
    assert (report.problems, report.signed) == ([], 20)


def test_a_log_that_is_not_the_one_that_was_signed_signs_nothing(
    archived: DataDir, settings: Settings, tmp_path: Path
) -> None:
    """Log and stream are an older copy; the file elsewhere remembers what the key has signed since."""
    target = tmp_path / "elsewhere.txt"
    told = read_settings(data_dir=archived.root, checkpoint_targets=str(target))
    key = load_signer(archived.checkpoint_key, origin_of(epoch_of(archived)))
    newest = signed_by(notes(archived)[-1], [key.verifier])[0]
    for size, root, says in ((15, bytes(32), "15 leaves, this log has 10"), (8, bytes(32), "another root")):
        target.write_text(newest._replace(size=size, root=root).signed(key))
        with running(told) as service:
            until(lambda: "signing" in service.state.problems)
            assert says in service.state.problems["signing"]
            publish_all(settings, made_events(1))
        assert signed_by(notes(archived)[-1], [key.verifier])[0].size == 10
        assert target.read_text().count("\n") == 5
    target.write_text(newest._replace(size=9, root=bytes(32)).signed(make_signer(tmp_path / "k", key.verifier.name)))
    with running(told) as service:  # signed by somebody else: not this log's word
        service.folded(12)
    assert signed_by(notes(archived)[-1], [key.verifier])[0].size == 12


def test_an_encrypted_key_signs_with_its_passphrase_only(
    server: Any, settings: Settings, data: DataDir, tmp_path: Path
) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    archive(read_settings(data_dir=data.root, signer_passphrase_file=str(secret)), 1, 5)
    assert b"ENCRYPTED" in data.checkpoint_key.read_bytes()
    key = Verifier.parse(data.public_key.read_text())
    assert verify_log(data.log, [key]).signed == 5
    done = CliRunner().invoke(app, ["audit", "verify", "--offline", "--data-dir", str(data.root)])
    assert done.exit_code == 0, done.stderr  # the public part is enough
    with pytest.raises(SettingsError, match="RUNLORE_SIGNER_PASSPHRASE_FILE"), running(settings) as service:
        raise service.ended() or AssertionError
    with pytest.raises(SettingsError, match="with this passphrase"):
        load_signer(data.checkpoint_key, key.name, b"wrong")


SIGNER = """
    import sys
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    key = load_pem_private_key(open({key!r}, "rb").read(), None)
    sys.stdout.buffer.write(key.sign(sys.stdin.buffer.read()))
"""


def test_a_command_signs_and_the_key_is_rotated_to_it(
    archived: DataDir, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = make_signer(tmp_path / "hsm.pem", "any")
    (tmp_path / "hsm.pub").write_text(outside.verifier.vkey)
    (tmp_path / "sign.py").write_text(textwrap.dedent(SIGNER.format(key=str(tmp_path / "hsm.pem"))))
    old = key_of(archived)
    assert "signed the log before" in refused(archived, "rotate", "--to", old.vkey), "it would be trusted for no tree"
    with FolderLock(archived.key_lock, "another"):
        assert "is in use by another" in refused(archived, "rotate")
    new = printed_key(archived, "rotate", "--to", str(tmp_path / "hsm.pub"))
    assert new.public == outside.verifier.public
    with running(settings) as service:
        service.folded(11)
        until(lambda: "Give the projector the new key" in service.state.problems.get("signing", ""))
    command = read_settings(
        data_dir=archived.root,
        signer_command=f"{sys.executable} {tmp_path / 'sign.py'}",
        signer_public_key=str(tmp_path / "hsm.pub"),
    )
    archive(command, 11, 12)
    assert not archived.key_statement.exists()
    monkeypatch.setenv("RUNLORE_SIGNER_COMMAND", str(command.signer_command))
    monkeypatch.setenv("RUNLORE_SIGNER_PUBLIC_KEY", str(command.signer_public_key))
    assert "signed the log before" in refused(archived, "rotate", "--to", old.vkey), "nor does a retired key come back"
    assert signed_by(notes(archived)[-1], [new])[0].size >= 12
    assert verify_log(archived.log, [old]).problems == []
    broken = read_settings(data_dir=archived.root, signer_command="false", signer_public_key=str(tmp_path / "hsm.pub"))
    with running(broken) as service:
        until(lambda: service.state.connected)
        publish_all(settings, made_events(14)[12:])
        until(lambda: "RUNLORE_SIGNER_COMMAND ended with 1" in service.state.problems.get("signing", ""))
        service.folded(14)  # archiving goes on


def test_the_public_part_of_a_key_may_be_read_and_its_private_ones_not(archived: DataDir) -> None:
    printed_key(archived, "rotate")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in archived.root.glob("checkpoint*")}
    assert modes["checkpoint.key.next"] == modes["checkpoint.key"] == 0o600
