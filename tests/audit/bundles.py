"""Bundles as a forger makes them: real ones, with a part exchanged."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

TextChange = Callable[[str], str] | None
"""What becomes of a member's text; None: the member goes."""


def rewritten(path: Path, changes: dict[str, TextChange]) -> None:
    """Exchange members of a bundle's file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name).decode() for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            change = changes.get(name, str)
            if change is not None:
                archive.writestr(name, change(content))


def in_json(change: Callable[[dict[str, Any]], object]) -> dict[str, TextChange]:
    """Change the decoded bundle.json."""

    def apply(text: str) -> str:
        content = json.loads(text)
        change(content)
        return json.dumps(content)

    return {"bundle.json": apply}


def content_of(path: Path) -> dict[str, Any]:
    """The decoded bundle.json."""
    with zipfile.ZipFile(path) as archive:
        content: dict[str, Any] = json.loads(archive.read("bundle.json"))
    return content
