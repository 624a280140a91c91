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

PLACE = RUN_VARIABLE, STEP_VARIABLE, PIPELINE_VARIABLE, MODEL_VARIABLE = tuple(
    SETTINGS[name].variable for name in ("run", "step", "pipeline", "model")
)
_WHERE = (RUN_VARIABLE, STEP_VARIABLE)
PARENT = SETTINGS["parent_process"].variable
"""Names the process that set the others: a child may replace what Runlore set, never what a person set."""
_WHERE_TO = ("project", "url", "data_dir", "mode")
_SIGNING_IN = ("credentials", "nkey", "tls_ca", "tls_cert", "tls_key", "inbox_prefix", "jetstream_api")
DELIVERY = {name: SETTINGS[name] for name in (*_WHERE_TO, *_SIGNING_IN)}
"""Settings that say where events go: a child that joins a run must send to the same log."""


def place_variables(run: str, step: str | None, pipeline: str | None, model: EntityRef | None) -> dict[str, str]:
    """The four variables of a place; empty ones hide those of an outer place."""
    return {
        RUN_VARIABLE: run,
        STEP_VARIABLE: step or "",
        PIPELINE_VARIABLE: pipeline or "",
        MODEL_VARIABLE: "" if model is None else str(model),
    }


def child_environment(place: dict[str, str], settings: Settings) -> dict[str, str]:
    """Every variable that a child needs to work in `place`."""
    values = {
        setting.variable: text
        for name, setting in DELIVERY.items()
        if (text := _text(settings, name)) != setting.default or name in _WHERE_TO
    }
    recording = {
        SETTINGS["record"].variable: settings.record,
        SETTINGS["redact"].variable: "on" if settings.redact else "off",
    }
    signing = {
        SETTINGS[name].variable: text
        for name in ("producer_key", "producer_passphrase_file")
        if (text := _text(settings, name))
    }
    return {**place, **values, **recording, **signing, PARENT: this_process().name}


def _text(settings: Settings, name: str) -> str:
    return str(getattr(settings, name) or "")


class _Outside(NamedTuple):
    """The environment as others made it, when a run was opened, and what follows from that for its children.

    A run asks once: its steps differ in the variables of their place only, and must stay cheap.
    """

    run: str | None
    settings: Settings
    fixed: dict[str, str]
    """Variables of the place that somebody else set."""
    without_place: dict[str, str | None]
    """To export where a child is told no place."""
    with_place: dict[str, str | None] | None
    """To export beside a place, so that a child sends to the same log; None if the environment says otherwise."""

    def wanted(self, place: Mapping[str, str] | None) -> dict[str, str | None]:
        """What to export; None for a variable that is taken away."""
        if place is None or self.with_place is None or self._contradicts(place):
            return self.without_place
        return {**self.with_place, **{name: text or None for name, text in place.items() if name not in self.fixed}}

    def _contradicts(self, place: Mapping[str, str]) -> bool:
        return bool(self.fixed) and any(name in self.fixed and self.fixed[name] != place[name] for name in _WHERE)


class Exported:
    """The variables that this process has put into its environment, and what each was before (None: not set)."""

    def __init__(self) -> None:
        self._ours: dict[str, str | None] = {}
        self._before: dict[str, str | None] = {}
        self._outside: _Outside | None = None
        self._shown: tuple[_Outside, Mapping[str, str]] | None = None
        """The place that is exported: of the next step's only the differences are."""

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
        outside = self._outside
        if outside is None or outside.run != run or outside.settings is not settings:
            outside = self._outside = self._look(run, settings)
        shown, self._shown = self._shown, None  # unknown while an interruption may come in between
        if shown is not None and place is not None and shown[0] is outside and not outside.fixed:
            changed = {name: text or None for name, text in place.items() if text != shown[1][name]}
            self._give(changed)
        else:
            self._set(outside.wanted(place))
        if place is not None and outside.with_place is not None:
            self._shown = outside, place

    def inherit(self) -> None:
        """In a forked child: what the parent exported was there before."""
        self._ours.clear()
        self._before.clear()
        self._outside = self._shown = None

    def restore(self) -> None:
        """Take back every variable of ours."""
        self._set({})
        self._outside = self._shown = None

    def _look(self, run: str | None, settings: Settings) -> _Outside:
        own: dict[str, str | None] = {PARENT: this_process().name}
        delivery = self._missing_delivery(settings)
        with_place = None if delivery is None else {**own, **delivery}
        if self.outside(PARENT) is not None:
            # The process that started this one exported its place: Runlore's own values, which may be replaced.
            return _Outside(run, settings, {}, own | dict.fromkeys(PLACE), with_place)
        fixed = {name: text for name in PLACE if (text := self.outside(name))}
        return _Outside(run, settings, fixed, own, with_place)

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
        for name in [name for name in self._ours if name not in wanted]:
            if self._is_ours(name):
                _put(name, self._before.get(name))
                self._forget(name)
        self._give(wanted)

    def _give(self, wanted: Mapping[str, str | None]) -> None:
        ours = self._ours
        for name, value in wanted.items():
            if name not in ours:
                self._before[name] = os.environ.get(name)
            elif ours[name] == value or not self._is_ours(name):
                continue
            ours[name] = value
            _put(name, value)

    def _is_ours(self, name: str) -> bool:
        """Whether the variable still is what this process made it; else it is somebody else's from now on."""
        if os.environ.get(name) == self._ours[name]:
            return True
        self._forget(name)
        self._outside = None
        return False

    def _forget(self, name: str) -> None:
        self._ours.pop(name, None)
        self._before.pop(name, None)


def _put(name: str, value: str | None) -> None:
    if value is None:
        if name in os.environ:
            del os.environ[name]
        return
    try:
        os.environ[name] = value
    except UnicodeEncodeError:
        # A name that the file system's encoding cannot write. A child without a place is better than a failed step.
        os.environ.pop(name, None)


EXPORTED = Exported()
