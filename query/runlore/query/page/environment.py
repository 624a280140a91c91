"""What a run was started in, in a line: its commit, its Python, the number of its packages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

_COMMIT = 8

Group = Mapping[Any, Any]


def is_group(value: Any) -> TypeGuard[Group]:
    """Whether a value has parts; what was recorded may be anything that a program passed."""
    return isinstance(value, Mapping) and value != {}


def environment_line(found: Group) -> str:
    """The line; of what was recorded otherwise, the names."""
    git, packages = found.get("git"), found.get("packages")
    parts = list[str]()
    if is_group(git) and "commit" in git:
        parts.append(f"{str(git['commit'])[:_COMMIT]}{', changed since' if git.get('dirty') is True else ''}")
    if "python" in found:
        parts.append(f"Python {found['python']}")
    if is_group(packages):
        parts.append(f"{len(packages):,} packages")
    return " · ".join(parts) or ", ".join(map(str, found))
