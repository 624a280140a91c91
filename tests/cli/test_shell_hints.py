"""What `runlore up` and `runlore demo` tell to export makes the commands work that they show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runlore.cli.shell_hints import exports


def test_after_the_exports_a_bare_shell_finds_runlore_and_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "it's data"
    programs = tmp_path / "environment" / "bin"
    programs.mkdir(parents=True)
    (programs / "runlore").write_text("#!/bin/sh\necho found\n")
    (programs / "runlore").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", os.defpath)
    lines = [*exports(folder), "runlore", 'echo "$RUNLORE_DATA_DIR"']
    done = subprocess.run(["sh", "-c", "\n".join(lines)], capture_output=True, text=True, timeout=90)
    assert done.stdout == f"found\n{folder}\n"


def test_nothing_is_exported_where_the_commands_work_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runlore").write_text("")
    (tmp_path / "runlore").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert exports(tmp_path / ".runlore") == []
