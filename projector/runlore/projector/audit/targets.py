"""Places outside the data folder that get each signed checkpoint: files, and addresses that take a PUT."""

from __future__ import annotations

import http.client
import urllib.request
from pathlib import Path

from runlore.store.access import using
from runlore.store.private_files import write_private

PUSH_SECONDS = 10.0


def push(target: str, note: str) -> None:
    """Write a checkpoint to a target. Raises OSError when that fails."""
    if not _is_address(target):
        with using(Path(target)):
            write_private(Path(target), note.encode())
        return
    put = urllib.request.Request(target, note.encode(), {"Content-Type": "text/plain; charset=utf-8"}, method="PUT")  # noqa: S310 -- http(s), as the setting requires
    try:
        with urllib.request.urlopen(put, timeout=PUSH_SECONDS) as answer:  # noqa: S310 -- as above
            answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def pull(target: str) -> str | None:
    """The checkpoint that a target has; None when it has none, or does not give it back."""
    try:
        if not _is_address(target):
            return Path(target).read_text(encoding="utf-8")
        with urllib.request.urlopen(target, timeout=PUSH_SECONDS) as answer:  # noqa: S310 -- as above
            return bytes(answer.read(1 << 16)).decode()
    except (OSError, UnicodeDecodeError, http.client.HTTPException):
        return None


def _is_address(target: str) -> bool:
    return target.startswith(("http://", "https://"))
