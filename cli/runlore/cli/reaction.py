"""Reactions of `runlore watch` to a change: its line, its command, and the place to continue from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec

from runlore.cli.render import text, when, who
from runlore.query import Change
from runlore.query.records import change_record
from runlore.schemas.errors import SettingsError
from runlore.store.cells import readable
from runlore.store.private_files import write_struct

MAX_VARIABLE = 60_000
"""Bytes of one environment variable; the kernel refuses 128 KiB. The JSON on stdin is always whole."""


def change_line(change: Change) -> str:
    """Position, time, entity, path, what it is now, what it was, who."""
    entry = change.entry
    now = f"({entry.type}{': ' + text(entry.reason) if entry.reason else ''})" if entry.ended else text(entry.value)
    was = f"  (was {text(entry.previous)})" if entry.replaced else ""
    moment = f"{entry.position:>8}  {when(entry.created)}"
    return f"{moment}  {text(change.reference)}  {text(entry.path)} = {now}{was}  {who(entry)}"


def run_command(command: str, change: Change) -> int:
    """Run a shell command for a change and wait for it; its exit code, negative for the signal that ended it."""
    whole = change_record(change)
    done = subprocess.run(  # noqa: S603 -- the user's own command, with values in variables only
        ["/bin/sh", "-c", command],
        input=msgspec.json.encode(whole) + b"\n",
        env={**os.environ, **_variables(change, msgspec.json.encode(whole["value"]).decode())},
        check=False,
    )
    return done.returncode


def _variables(change: Change, value_json: str) -> dict[str, str]:
    entry = change.entry
    values = {
        "ENTITY": change.reference,
        "PROJECT": change.project,
        "SCOPE": change.scope,
        "PATH": entry.path,
        "TYPE": entry.type,
        "VALUE": "" if entry.ended else readable(entry.value),
        # Half a document would be worse than none.
        "VALUE_JSON": value_json if len(value_json.encode()) <= MAX_VARIABLE else "",
        "PREVIOUS": "" if change.entry.previous_type is None else readable(change.entry.previous),
        "REASON": readable(entry.reason or ""),
        "POSITION": str(change.position),
    }
    return {f"RUNLORE_WATCH_{name}": _fits(value) for name, value in values.items()}


def _fits(value: str) -> str:
    return value.replace("\0", "\\0").encode("utf-8", "replace")[:MAX_VARIABLE].decode("utf-8", "ignore")


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a state file."""

    position: int
    entity: int
    path: int


class StateFile:
    """Remembers the place after the last change that was dealt with."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[int, int, int] | None:
        """The place kept, None at first. Raises SettingsError for a file that holds none: it is never guessed."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, OSError) as error:
            raise SettingsError(
                f"{self._path} holds no place of a watch ({error}): remove it or name another"
            ) from error
        return kept.position, kept.entity, kept.path

    def write(self, place: tuple[int, int, int]) -> None:
        """Keep a place, whole and durably. Raises SettingsError where it cannot be written."""
        try:
            write_struct(self._path, _Kept(*place))
        except OSError as error:
            raise SettingsError(f"cannot keep the place of the watch in {self._path}: {error}") from error
