"""The recipe of docs/audit.md for a PKCS#11 module, with SoftHSM: the signer command signs with a key that never leaves."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from runlore.projector.audit.signers import KeyCommand, SigningError
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.audit.verify import verify_log
from runlore.store.audit.leaf import origin_of
from tests.audit.logs import EPOCH, Folder, messages

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PAGE = Path(__file__).parents[2] / "docs" / "audit.md"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyCommand:
    """The key that the recipe makes, behind the command that it gives."""
    if not shutil.which("softhsm2-util") or not shutil.which("pkcs11-tool") or not Path(MODULE).exists():
        pytest.skip("needs SoftHSM and OpenSC: Debian's softhsm2 and opensc")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    [recipe] = [block for block in re.findall(r"```text\n(.*?)```", PAGE.read_text(), re.DOTALL) if "softhsm" in block]
    assert MODULE in recipe
    variables: dict[str, str] = {}
    for line in recipe.splitlines():
        words = shlex.split(line)
        if words[0] == "export":
            variables.update(word.split("=", 1) for word in words[1:])
        elif words[0] != "runlore":
            subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, timeout=90)
    monkeypatch.setenv("HSM_PIN", variables["HSM_PIN"])
    return KeyCommand(variables["RUNLORE_SIGNER_COMMAND"], tmp_path / variables["RUNLORE_SIGNER_PUBLIC_KEY"])


def test_a_module_signs_checkpoints_and_nothing_too_long(command: KeyCommand, folder: Folder) -> None:
    signer = command.load(origin_of(EPOCH))
    with contextlib.closing(folder.open()) as archive:
        archive.append(messages(1, 10))
        writer = CheckpointWriter(archive, command)
        assert writer.sign(), writer.held
    report = verify_log(folder.log, [signer.verifier])
    assert (report.problems, report.signed) == ([], 10)
    assert signer.sign(bytes(1024))
    with pytest.raises(SigningError, match="ended with 1"):
        signer.sign(bytes(1025))
