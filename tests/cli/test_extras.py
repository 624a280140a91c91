"""Each extra alone works, or says what to install. A process without the other packages is simulated."""

from __future__ import annotations

from pathlib import Path

import pytest
from extra_tools import EXTRAS, command_with, run_with
from packaging.requirements import Requirement

from runlore.cli.extras import EXTRA_OF

MODULES = {"prometheus-client": "prometheus_client", "sqlite-utils": "sqlite_utils", "sse-starlette": "sse_starlette"}


def test_each_optional_package_is_known_with_its_extra() -> None:
    own = ("cli", "query", "projector", "dashboard", "mlflow", "mcp")
    brought = {
        MODULES.get(name, name): extra
        for extra in own
        for name in (Requirement(text).name for text in EXTRAS[extra])
        if name not in ("runlore", "pysqlite3")  # without pysqlite3 the standard library's sqlite3 does
    }
    assert brought == EXTRA_OF


def test_a_step_and_a_client_need_no_extra(tmp_path: Path) -> None:
    code = """
import runlore
with runlore.run_context("nightly"), runlore.step_context("train"):
    runlore.log_metadata({"loss": 0.1})
try:
    runlore.Client(".")
except runlore.RunloreError as error:
    print(type(error).__name__)
"""
    done = run_with((), code, RUNLORE_DATA_DIR=str(tmp_path), RUNLORE_MODE="offline")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("extras", "arguments", "advice"),
    [
        ((), ("show", "model:x"), "pip install 'runlore[cli]'"),
        (("cli",), ("find", "models", "metadata.a > 1"), "pip install 'runlore[query]'"),
        (("cli",), ("show", "model:x", "--as-of", "two days ago at noon"), "pip install 'runlore[query]'"),
        (("cli",), ("rebuild",), "pip install 'runlore[projector]'"),
        (("cli",), ("projector",), "pip install 'runlore[projector]'"),
        (("cli",), ("audit", "verify"), "pip install 'runlore[audit]'"),
        (("cli",), ("up",), "pip install 'runlore[local]'"),
        (("cli",), ("demo", "--once"), "pip install 'runlore[local]'"),
        (("cli", "query"), ("mcp",), "pip install 'runlore[mcp]'"),
        (("cli", "query", "projector"), ("import", "mlflow", "sqlite:///x.db"), "pip install 'runlore[mlflow]'"),
        (("cli", "projector", "query"), ("dashboard",), "pip install 'runlore[dashboard]'"),
    ],
)
def test_a_command_says_which_extra_it_needs(
    tmp_path: Path, extras: tuple[str, ...], arguments: tuple[str, ...], advice: str
) -> None:
    done = command_with(extras, *arguments, RUNLORE_DATA_DIR=str(tmp_path))
    assert advice in done.stderr, done.stderr
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("extras", "arguments", "output"),
    [
        (("cli",), ("log", "model:x", "a=1"), ""),
        (("cli",), ("doctor",), "nats-server"),
        (("cli",), ("outbox", "status"), ""),
        (("cli", "query"), ("find", "models", "metadata.a > 1"), "nothing to read in"),
        (("audit",), ("audit", "check", "missing.zip"), "missing.zip"),
    ],
)
def test_a_command_works_with_its_own_extra(
    tmp_path: Path, extras: tuple[str, ...], arguments: tuple[str, ...], output: str
) -> None:
    done = command_with(extras, *arguments, RUNLORE_DATA_DIR=str(tmp_path))
    shown = done.stdout + done.stderr
    assert output in shown
    assert "pip install" not in done.stderr  # doctor's findings are on stdout
    assert "Traceback" not in shown
