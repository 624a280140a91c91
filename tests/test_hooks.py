"""The pre-commit hooks are the checks of `make check`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
ON_ITS_FILES = {"--force-exclude"}
"""pre-commit names the changed files: ruff is then told to keep to its own exclusions."""


def test_the_hooks_are_the_checks_of_make_check() -> None:
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    checks = [shlex.split(line.strip().replace("$(BIN)", ".venv/bin")) for line in recipe[1].splitlines()]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    ran = [[word for word in shlex.split(hook["entry"]) if word not in ON_ITS_FILES] for hook in hooks]
    assert ran == [[word for word in check if word != "."] for check in checks]
