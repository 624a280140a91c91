"""A Python process in which only the packages of some extras are installed, as far as imports can tell."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT: dict[str, Any] = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]

_REFUSE = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {refused!r} else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def run_with(extras: tuple[str, ...], code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `code` where nothing is installed but `runlore[extras]`."""
    text = _REFUSE.format(refused=_refused(extras)) + code
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=120, env={**os.environ, **env}
    )


def command_with(extras: tuple[str, ...], *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the `runlore` command there."""
    code = f"sys.argv = ['runlore', *{arguments!r}]\nfrom runlore.cli import main\nmain()"
    return run_with(extras, code, **env)


@functools.cache
def _refused(extras: tuple[str, ...]) -> frozenset[str]:
    """Top-level modules of every installed package that these extras do not bring."""
    brought: set[str] = set()
    for text in PROJECT["dependencies"]:
        _bring(Requirement(text), brought)
    for extra in extras:
        _bring_extra(extra, brought)
    return frozenset(
        module
        for module, packages in importlib.metadata.packages_distributions().items()
        if module != "runlore" and brought.isdisjoint(map(canonicalize_name, packages))
    )


def _bring_extra(extra: str, brought: set[str]) -> None:
    for text in EXTRAS[extra]:
        _bring(Requirement(text), brought)


def _bring(wanted: Requirement, brought: set[str]) -> None:
    name = canonicalize_name(wanted.name)
    if name == "runlore":
        for extra in wanted.extras:
            _bring_extra(extra, brought)
        return
    if name in brought:
        return
    brought.add(name)
    try:
        inner = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in map(Requirement, inner):
        asked = ["", *wanted.extras]
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in asked):
            _bring(requirement, brought)
