"""The git repository that code runs in: its commit, its branch, and whether it was changed."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

GIT_SECONDS = 10.0
"""A repository that takes longer to say whether it was changed does not say it."""
FRESH_SECONDS = 30.0
"""Runs that follow one another within this time are told the same: a search starts many."""
# It locks nothing, and starts no program that the repository's settings name.
_OPTIONS = ("--no-optional-locks", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")


class Repository(NamedTuple):
    """What is known of a repository; None where it is not."""

    commit: str
    dirty: bool | None
    """True if files that git knows were changed since the commit."""
    branch: str | None
    origin: str | None
    """The address it was cloned from, as git has it: a password may be in it."""


_looked: dict[str, tuple[float, Repository | None]] = {}


def repository_of(folder: str) -> Repository | None:
    """The repository around a folder; None outside of one, before its first commit, and without git."""
    when, found = _looked.get(folder, (0.0, None))
    if not when or time.monotonic() - when > FRESH_SECONDS:
        found = _look(folder)
        _looked[folder] = time.monotonic(), found
    return found


def _look(folder: str) -> Repository | None:
    if not any((path / ".git").exists() for path in (Path(folder), *Path(folder).parents)):
        return None
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    branch, origin = _git(folder, "symbolic-ref", "--short", "HEAD"), _git(folder, "config", "remote.origin.url")
    return Repository(commit, None if changes is None else bool(changes), branch, origin)


def _git(folder: str, *words: str) -> str | None:
    """What git says; None where it is not installed, refuses, or takes too long."""
    try:
        done = subprocess.run(  # noqa: S603 -- our own words, no shell
            ["git", "-C", folder, *_OPTIONS, *words],  # noqa: S607 -- the git that the step's own code would find
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=GIT_SECONDS,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
