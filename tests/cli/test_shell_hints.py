"""What `runlore up` and `runlore demo` tell to export makes the commands work that they show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runlore.cli.shell_hints import exports
from runlore.schemas.visible import visible


@pytest.mark.parametrize(
    "name",
    ["data", "it's data", 'a "b" $HOME `x` \\n %s {c};d,e', "line\nbreak", "esc\x1b[31m\u202e\tü", "not \udcff text"],
)
def test_after_the_exports_a_bare_shell_finds_runlore_and_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    programs = tmp_path / "environment" / "bin"
    programs.mkdir(parents=True)
    (programs / "runlore").write_text("#!/bin/sh\necho found\n")
    (programs / "runlore").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", os.defpath)
    lines = [*exports(folder), "runlore", 'printf %s "$RUNLORE_DATA_DIR"']
    assert lines == [visible(line) for line in lines]  # as a terminal shows them
    done = subprocess.run(["sh", "-c", "\n".join(lines)], capture_output=True, timeout=90)
    assert done.stdout == b"found\n" + os.fsencode(folder)


def test_nothing_is_exported_where_the_commands_work_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runlore").write_text("")
    (tmp_path / "runlore").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert exports(tmp_path / ".runlore") == []
