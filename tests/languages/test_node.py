"""The example in JavaScript, which has nothing of Runlore's, logs and reads what docs/protocol.md describes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runlore.query import Client
from tests.cli.stack_process import running_up

EXAMPLE = Path(__file__).parents[2] / "examples" / "node"
PACKAGES = {
    "@msgpack/msgpack": "sha512-47XIizs9XZXvuJgoaJUIE2lFoID8ugvc0jzSHP+Ptfk8nTbnR8g788wv48N03Kx0UkAv559HWRQ3yzOgzlRNUA==",
    "nats": "sha512-tOQCRCwC74DgBTk4pWZ9V45sk4d7peoE2njVprMRCBXrhJ5q5cYM7i6W+Uvw2qUrcfOSnuisrX7bEx3b3Wx4QA==",
    "nkeys.js": "sha512-tB/a0shZL5UZWSwsoeyqfTszONTt4k2YS0tuQioMOD180+MbombYVgzDUYHlx+gejYK6rgf08n/2Df99WY0Sxg==",
    "tweetnacl": "sha512-6rt+RN7aOi1nGMyC4Xa5DdYiukl2UWCbcJft7YhxReBGQD7OAM8Pbxw6YMo4r2diNEA8FEmu32YOn9rhaiE5yw==",
}
"""What is installed, and the hashes of its archives."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its packages."""
    folder = tmp_path_factory.mktemp("node")
    if shutil.which("npm") is None:
        pytest.skip("needs Node.js")
    for name in ("package.json", "log_and_read.mjs"):
        shutil.copy(EXAMPLE / name, folder)
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False, timeout=280)
    if done.returncode:
        pytest.skip(f"cannot install the example's packages: {done.stderr[-200:]}")
    locked = json.loads((folder / "node_modules" / ".package-lock.json").read_text())["packages"]
    assert {name.removeprefix("node_modules/"): found["integrity"] for name, found in locked.items()} == PACKAGES
    return folder / "log_and_read.mjs"


@pytest.mark.slow
def test_a_program_in_javascript_logs_and_reads_a_history(program: Path, tmp_path: Path) -> None:
    with running_up(tmp_path / "data", "--dashboard-port", "0"):
        ran = subprocess.run(
            ["node", str(program), str(tmp_path / "data" / "server.json")],
            env={"PATH": os.environ["PATH"], "USER": "grace"}, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert ran.stdout.splitlines() == ["@1 accuracy = 0.91 (float)", "@2 accuracy = 0.94 (float)"], ran.stderr
        with Client(tmp_path / "data") as client:
            found = client.get("model:churn@3").history("accuracy")
            assert [entry.value for entry in found] == [0.91, 0.94]
            assert found[0].actor.user == "grace"
            assert client.quarantine() == []
            (producer,) = client.producers()
            assert (producer["highest_seq"], producer["missing"]) == (2, 0)
