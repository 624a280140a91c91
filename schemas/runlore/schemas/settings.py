"""Settings: one row each, read from the environment once, cast, and loud when they make no sense."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from runlore.schemas.errors import InvalidReferenceError, SettingsError
from runlore.schemas.hosts import parse_hosts
from runlore.schemas.references import check_name

Mode = Literal["online", "offline", "disabled"]
Confirm = Literal["auto", "always", "never"]


class Setting(NamedTuple):
    """One setting: its variable, default, cast and meaning."""

    variable: str
    default: str
    cast: Callable[[str], Any]
    help: str


def _mode(text: str) -> Mode:
    modes: tuple[Mode, ...] = ("online", "offline", "disabled")
    for mode in modes:
        if text == mode:
            return mode
    raise ValueError("use online, offline or disabled")


def _confirm(text: str) -> Confirm:
    choices: tuple[Confirm, ...] = ("auto", "always", "never")
    for choice in choices:
        if text == choice:
            return choice
    raise ValueError("use auto, always or never")


def _optional(text: str) -> str | None:
    return text or None


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < 1e9:
        raise ValueError("use a number of seconds, 0 or more")
    return seconds


def _optional_seconds(text: str) -> float | None:
    return _seconds(text) if text else None


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise ValueError("use a whole number, 0 or more")
    return count


def _project(text: str) -> str:
    try:
        return check_name("project", text)
    except InvalidReferenceError as error:
        raise ValueError(str(error)) from error


def _folder(text: str) -> Path:
    if not text:
        raise ValueError("use a folder's path")
    return Path(text).expanduser()


SETTINGS: dict[str, Setting] = {
    "data_dir": Setting("RUNLORE_DATA_DIR", ".runlore", _folder, "folder for outboxes, log, views and server"),
    "url": Setting(
        "RUNLORE_URL", "", _optional, "NATS server(s), comma-separated; unset: the one `runlore up` started"
    ),
    "credentials": Setting("RUNLORE_CREDENTIALS", "", _optional, "NATS credentials file for RUNLORE_URL"),
    "project": Setting("RUNLORE_PROJECT", "default", _project, "namespace that separates teams"),
    "mode": Setting(
        "RUNLORE_MODE",
        "online",
        _mode,
        "online, offline (outbox only) or disabled (check values, store nothing)",
    ),
    "run": Setting("RUNLORE_RUN_ID", "", _optional, "run to join; set by .env() for child processes"),
    "step": Setting("RUNLORE_STEP", "", _optional, "step to join; set by .env()"),
    "pipeline": Setting("RUNLORE_PIPELINE", "", _optional, "pipeline of the run to join; set by .env()"),
    "model": Setting("RUNLORE_MODEL", "", _optional, "model in context, as a reference; set by .env()"),
    "flush_timeout": Setting(
        "RUNLORE_FLUSH_TIMEOUT",
        "",
        _optional_seconds,
        "seconds that exit waits for unsent events, connecting included; unset: 10 for a first connection, then 5; "
        "none when the server is away",
    ),
    "confirm": Setting(
        "RUNLORE_CONFIRM",
        "auto",
        _confirm,
        "keep events that the stream has in the outbox until they are archived: auto (for one replica), always, never",
    ),
    "keep_bytes": Setting("RUNLORE_KEEP_BYTES", "67108864", _count, "most bytes of such events in one outbox"),
    "keep_seconds": Setting("RUNLORE_KEEP_SECONDS", "604800", _seconds, "how long they are kept"),
    "max_event_bytes": Setting("RUNLORE_MAX_EVENT_BYTES", "1000000", _count, "size limit of one event"),
    "http_host": Setting("RUNLORE_HTTP_HOST", "127.0.0.1", str, "address of the projector's health endpoints"),
    "http_port": Setting("RUNLORE_HTTP_PORT", "0", _count, "their port; 0: any free one"),
    "max_lag": Setting("RUNLORE_MAX_LAG", "10000", _count, "events behind the stream at which /readyz says no"),
    "dashboard_host": Setting(
        "RUNLORE_DASHBOARD_HOST", "127.0.0.1", str, "address of the page; any but loopback needs a token"
    ),
    "dashboard_port": Setting("RUNLORE_DASHBOARD_PORT", "0", _count, "its port; 0: any free one"),
    "dashboard_token": Setting("RUNLORE_DASHBOARD_TOKEN", "", _optional, "what a visitor of the page must know"),
    "dashboard_hosts": Setting(
        "RUNLORE_DASHBOARD_HOSTS", "", parse_hosts, "more names the page answers to, as a proxy in front sends them"
    ),
    "replicas": Setting("RUNLORE_REPLICAS", "1", _count, "stream replicas when the stream is created"),
    "nats_server": Setting("RUNLORE_NATS_SERVER", "", _optional, "nats-server program for the embedded server"),
}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one process; `SETTINGS` says what each means."""

    data_dir: Path
    url: str | None
    credentials: str | None
    project: str
    mode: Mode
    run: str | None
    step: str | None
    pipeline: str | None
    model: str | None
    flush_timeout: float | None
    confirm: Confirm
    keep_bytes: int
    keep_seconds: float
    max_event_bytes: int
    http_host: str
    http_port: int
    max_lag: int
    dashboard_host: str
    dashboard_port: int
    dashboard_token: str | None
    dashboard_hosts: tuple[str, ...]
    replicas: int
    nats_server: str | None


def read_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from the environment; `overrides` that are not None win.

    Raises SettingsError naming the variable.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        if overrides.get(name) is not None:
            values[name] = overrides[name]
            continue
        text = environ.get(setting.variable, "").strip() or setting.default
        try:
            values[name] = setting.cast(text)
        except ValueError as error:
            raise SettingsError(f"{setting.variable}={text!r}: {error}") from error
    values["data_dir"] = Path(values["data_dir"]).absolute()
    return Settings(**values)
