"""The RUNLORE_* variables through which child processes join what is open here.

While a run or step is open, its place is in `os.environ`, so that every child has it however it is started:
subprocess, spawned pools, joblib, a shell. When it closes, the environment is as it was before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from runlore.producer.actor import this_process
from runlore.schemas.references import EntityRef
from runlore.schemas.settings import SETTINGS, Settings

PLACE = RUN_VARIABLE, STEP_VARIABLE, _, _ = tuple(
    SETTINGS[name].variable for name in ("run", "step", "pipeline", "model")
)
PARENT = SETTINGS["parent_process"].variable
"""Names the process that set the others: a child may replace what Runlore set, never what a person set."""
DELIVERY = {name: SETTINGS[name] for name in ("project", "url", "data_dir", "mode", "credentials")}
"""Settings that say where events go: a child that joins a run must send to the same log."""


def place_variables(run: str, step: str | None, pipeline: str | None, model: EntityRef | None) -> dict[str, str]:
    """The four variables of a place; empty ones hide those of an outer place."""
    return dict(zip(PLACE, (run, step or "", pipeline or "", "" if model is None else str(model)), strict=True))


def child_environment(place: dict[str, str], settings: Settings) -> dict[str, str]:
    """Every variable that a child needs to work in `place`."""
    values = {setting.variable: _text(settings, name) for name, setting in DELIVERY.items()}
    if not settings.credentials:
        del values[SETTINGS["credentials"].variable]
    recording = {
        SETTINGS["record"].variable: settings.record,
        SETTINGS["redact"].variable: "on" if settings.redact else "off",
    }
    return {**place, **values, **recording, PARENT: this_process().name}


def _text(settings: Settings, name: str) -> str:
    return str(getattr(settings, name) or "")


class _Outside(NamedTuple):
    """The environment as others made it, when a run was opened."""

    run: str | None
    settings: Settings
    inherited: bool
    """The process that started this one exported its place: Runlore's own values, which may be replaced."""
    fixed: dict[str, str]
    """Variables of the place that somebody else set."""
    delivery: dict[str, str] | None
    """What a child has to be told to send to the same log; None if the environment says otherwise."""

    def allows(self, place: Mapping[str, str]) -> bool:
        own = (name in self.fixed and self.fixed[name] != place[name] for name in (RUN_VARIABLE, STEP_VARIABLE))
        return self.delivery is not None and not any(own)


class Exported:
    """The variables that this process has put into its environment, and what each was before (None: not set)."""

    def __init__(self) -> None:
        self._ours: dict[str, str | None] = {}
        self._before: dict[str, str | None] = {}
        self._outside: _Outside | None = None

    def outside(self, name: str) -> str | None:
        """The variable as it is without us."""
        value = os.environ.get(name)
        return self._before[name] if name in self._ours and self._ours[name] == value else value

    def environ(self) -> dict[str, str]:
        """The environment as it is without us: what this process reads its own settings from."""
        values = {name: self.outside(name) for name in {*os.environ, *self._ours}}
        return {name: value for name, value in values.items() if value is not None}

    def export(self, place: Mapping[str, str] | None, settings: Settings) -> None:
        """Let children join `place`. None: several places are open, and a child can be told only that.

        What somebody else set is left alone. If it contradicts the place, the place is not exported.
        """
        run = None if place is None else place[RUN_VARIABLE]
        outside = self._outside  # looked at once a run: a step must stay cheap
        if outside is None or outside.run != run or outside.settings is not settings:
            outside = self._outside = self._look(run, settings)
        wanted: dict[str, str | None] = {PARENT: this_process().name}
        if place is not None and outside.delivery is not None and outside.allows(place):
            wanted |= outside.delivery
            wanted |= {name: text or None for name, text in place.items() if name not in outside.fixed}
        elif outside.inherited:
            wanted |= dict.fromkeys(PLACE)  # the parent's place is not the place of this process's children
        self._set(wanted)

    def inherit(self) -> None:
        """In a forked child: what the parent exported was there before."""
        self._ours.clear()
        self._before.clear()
        self._outside = None

    def restore(self) -> None:
        """Take back every variable of ours."""
        self._set({})
        self._outside = None

    def _look(self, run: str | None, settings: Settings) -> _Outside:
        inherited = self.outside(PARENT) is not None
        found = {} if inherited else {name: text for name in PLACE if (text := self.outside(name))}
        return _Outside(run, settings, inherited, found, self._missing_delivery(settings))

    def _missing_delivery(self, settings: Settings) -> dict[str, str] | None:
        missing: dict[str, str] = {}
        for name, setting in DELIVERY.items():
            text, value = (self.outside(setting.variable) or "").strip(), getattr(settings, name)
            try:
                meant = setting.cast(text or setting.default)
            except ValueError:
                return None
            if name == "data_dir" and text:
                meant = meant.absolute()
            if meant == value:
                continue
            if text:
                return None
            missing[setting.variable] = _text(settings, name)
        return missing

    def _set(self, wanted: Mapping[str, str | None]) -> None:
        changed = [name for name in {**self._ours, **wanted} if not self._is_set(name, wanted)]
        for name in changed:
            if name in self._ours and os.environ.get(name) != self._ours[name]:
                self._forget(name)  # somebody set it meanwhile: it is theirs now
                self._outside = None
            elif name in wanted:
                if name not in self._ours:
                    self._before[name] = os.environ.get(name)
                self._ours[name] = wanted[name]
                _put(name, wanted[name])
            else:
                _put(name, self._before.get(name))
                self._forget(name)

    def _is_set(self, name: str, wanted: Mapping[str, str | None]) -> bool:
        return name in self._ours and name in wanted and self._ours[name] == wanted[name]

    def _forget(self, name: str) -> None:
        self._ours.pop(name, None)
        self._before.pop(name, None)


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
        return
    try:
        os.environ[name] = value
    except UnicodeEncodeError:
        # A name that the file system's encoding cannot write. A child without a place is better than a failed step.
        os.environ.pop(name, None)


EXPORTED = Exported()
