"""Witness policies: C2SP tlog-policy files.

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<k> <name>...
    quorum <name>|none

The projector asks the witnesses that have an address; an auditor demands the quorum.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

from runlore.projector.audit.cosignatures import Cosigner, cosigned_at
from runlore.projector.audit.keys import Verifier
from runlore.schemas.errors import SettingsError
from runlore.schemas.settings import require_address

_NONE = "none"


class PolicyWitness(NamedTuple):
    """A witness of a policy; `url`: where its `add-checkpoint` is."""

    name: str
    key: Cosigner
    url: str | None


class Group(NamedTuple):
    """A group that has witnessed a checkpoint when `least` of its members have."""

    least: int
    members: tuple[str, ...]


class WitnessPolicy(NamedTuple):
    """The keys of logs, the witnesses, and the rule by which a checkpoint counts as witnessed."""

    logs: tuple[Verifier, ...]
    witnesses: dict[str, PolicyWitness]
    groups: dict[str, Group]
    quorum: str

    def witnessed_by(self, note: str) -> dict[str, int]:
        """The witnesses that cosigned a note, with the time of each."""
        times = {name: cosigned_at(note, one.key) for name, one in self.witnesses.items()}
        return {name: seconds for name, seconds in times.items() if seconds is not None}

    def holds(self, witnessed: AbstractSet[str]) -> bool:
        """Return whether these witnesses are a quorum."""
        return self.quorum == _NONE or self._has(self.quorum, witnessed)

    def _has(self, name: str, witnessed: AbstractSet[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in witnessed
        return sum(self._has(member, witnessed) for member in group.members) >= group.least


def read_policy(path: Path) -> WitnessPolicy:
    """The policy in a file. Raises SettingsError naming the line that makes no sense."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"no witness policy at {path}: {error}") from None
    reading = _Reading()
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            try:
                reading.take(words)
            except (ValueError, SettingsError) as error:
                raise SettingsError(f"{path}, line {number}: {error}") from None
    if reading.quorum is None:
        raise SettingsError(f"{path} has no line `quorum NAME`")
    return WitnessPolicy(tuple(reading.logs), reading.witnesses, reading.groups, reading.quorum)


class _Reading:
    def __init__(self) -> None:
        self.logs: list[Verifier] = []
        self.witnesses: dict[str, PolicyWitness] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._members: set[str] = set()

    def take(self, words: list[str]) -> None:
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                self.logs.append(Verifier.parse(vkey))
            case ["witness", name, vkey]:
                self._add_witness(name, vkey, None)
            case ["witness", name, vkey, url] if url.startswith(("http://", "https://")):
                require_address(url)
                self._add_witness(name, vkey, url.rstrip("/"))
            case ["group", name, least, *members] if members:
                self._add_group(name, least, tuple(members))
            case ["quorum", name] if self.quorum is None and (name == _NONE or self._known(name)):
                self.quorum = name
            case ["quorum", name] if self.quorum is None:
                raise ValueError(f"{name!r} is no witness or group of a line before")
            case _:
                raise ValueError("use log, witness, group or one quorum line, as in C2SP tlog-policy")

    def _add_witness(self, name: str, vkey: str, url: str | None) -> None:
        self._require_new(name)
        key = Cosigner.parse(vkey)
        if any(one.key.public == key.public for one in self.witnesses.values()):
            raise ValueError("two witnesses have the same key")
        self.witnesses[name] = PolicyWitness(name, key, url)

    def _add_group(self, name: str, least: str, members: tuple[str, ...]) -> None:
        self._require_new(name)
        for member in members:
            if not self._known(member) or member in self._members:
                raise ValueError(f"{member!r} is no witness or group of a line before, or is in two groups")
            self._members.add(member)
        count = {"any": "1", "all": str(len(members))}.get(least, least)
        if count not in map(str, range(1, len(members) + 1)):
            raise ValueError(f"{least!r} of {len(members)} members cannot be: use all, any or a number up to theirs")
        self.groups[name] = Group(int(count), members)

    def _known(self, name: str) -> bool:
        return name in self.witnesses or name in self.groups

    def _require_new(self, name: str) -> None:
        if self._known(name) or name == _NONE:
            raise ValueError(f"{name!r} is named twice, or reserved")
