"""Settings: one row each, read from the environment once and cast; invalid values raise."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import urlsplit

import msgspec

from runlore.schemas.errors import InvalidReferenceError, SettingsError
from runlore.schemas.hosts import parse_hosts
from runlore.schemas.limits import MAX_EVENT_BYTES
from runlore.schemas.names import check_name
from runlore.schemas.shards import MAX_SHARD

Mode = Literal["online", "offline", "disabled"]
Confirm = Literal["auto", "always", "never"]
HostOrder = Literal["tee", "first"]

MAX_REPLICAS = 5
"""Of a stream, for JetStream."""


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


def _mlflow(text: str) -> HostOrder:
    choices: tuple[HostOrder, ...] = ("tee", "first")
    for choice in choices:
        if text == choice:
            return choice
    raise ValueError("use tee or first")


def _urls(text: str) -> str | None:
    for url in filter(None, map(str.strip, text.split(","))):
        try:
            require_address(url if "://" in url else f"nats://{url}")
        except ValueError as error:
            raise ValueError(f"use addresses like nats://host:4222 ({error})") from error
    return text or None


def require_address(url: str) -> None:
    """Raise ValueError where a URL has no host, or no port that can be: what connects to it fails in its own way.

    Its words have nothing of a password in them.
    """
    try:
        parts = urlsplit(url)
        found = parts.hostname, parts.port
    except ValueError:
        raise ValueError("the port is a number up to 65535, and in a password # is %23, / is %2F") from None
    if not found[0]:
        raise ValueError("it names no host")


def without_user(text: str) -> str:
    """A URL, or several, as they may be shown: a password may have any letter, and ends at the last @."""
    head, at, rest = text.rpartition("@")
    scheme, there, _ = head.partition("://")
    return f"{scheme}{there}…@{rest}" if at and there else f"{at and '…@'}{rest}"


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


def _optional_count(text: str) -> int | None:
    return _count(text) if text else None


def _event_bytes(text: str) -> int:
    size = _count(text)
    if size > MAX_EVENT_BYTES:
        raise ValueError(f"use at most {MAX_EVENT_BYTES}: no projector folds a larger event")
    return size


def _replicas(text: str) -> int | None:
    if not text:
        return None
    if not 1 <= (count := int(text)) <= MAX_REPLICAS:
        raise ValueError(f"use a whole number from 1 to {MAX_REPLICAS}")
    return count


def _shard(text: str) -> int:
    if (number := _count(text)) > MAX_SHARD:
        raise ValueError(f"use a whole number from 0 to {MAX_SHARD}")
    return number


def _subject_prefix(text: str) -> str:
    tokens = text.split(".")
    if not all(token and token.isascii() and token.isprintable() and not set(token) & set(" *>") for token in tokens):
        raise ValueError("use a NATS subject without wildcards, like _INBOX_training")
    return text


def _project(text: str) -> str:
    try:
        return check_name("project", text)
    except InvalidReferenceError as error:
        raise ValueError(str(error)) from error


def user_path(path: str | os.PathLike[str]) -> Path:
    """An absolute path; a `~` at its beginning is a home folder. Raises ValueError saying what to write instead."""
    if not os.fspath(path):
        raise ValueError("use a path")
    try:
        expanded = Path(path).expanduser()
    except RuntimeError:  # as pathlib says it
        raise ValueError("this user has no home folder for ~ to mean: use an absolute path") from None
    try:
        return expanded.absolute()
    except FileNotFoundError:
        raise ValueError("the working folder was removed: use an absolute path") from None


def _file(text: str) -> str | None:
    return str(user_path(text)) if text else None


def _targets(text: str) -> tuple[str, ...]:
    targets: list[str] = []
    for target in filter(None, map(str.strip, text.split(","))):
        if "://" not in target:
            targets.append(str(user_path(target)))
        elif target.startswith(("http://", "https://")):
            require_address(target)
            targets.append(target)
        else:
            raise ValueError("use paths of files, or addresses that begin with http:// or https://")
    return tuple(targets)


def _http_address(text: str) -> str | None:
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("use an address that begins with http:// or https://")
    if text:
        require_address(text)
    return text or None


def _program(text: str) -> str | None:
    return _file(text) if text.startswith("~") else text or None


def _record(text: str) -> str:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isidentifier() for word in words):
        raise ValueError("use none, numbers, all, or names of arguments with commas between them")
    return ",".join(words)


_SWITCH = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}


def _switch(text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise ValueError("use on or off")
    return _SWITCH[text.lower()]


TRUST_FOLDER = Setting(
    "RUNLORE_TRUST_FOLDER",
    "off",
    _switch,
    "on or off: use a data folder, and files in it, that other users own or may write; read from the environment alone",
)
"""Not among the others: whoever opens a file asks for it, and code does not switch it on for its users."""


def trusts_any_folder() -> bool:
    """Return whether RUNLORE_TRUST_FOLDER is on. Raises SettingsError."""
    text = os.environ.get(TRUST_FOLDER.variable, "").strip() or TRUST_FOLDER.default
    try:
        return bool(TRUST_FOLDER.cast(text))
    except ValueError as error:
        raise SettingsError(f"{TRUST_FOLDER.variable}={text!r}: {error}") from error


SETTINGS: dict[str, Setting] = {
    "data_dir": Setting("RUNLORE_DATA_DIR", ".runlore", user_path, "folder for outboxes, log, views and server"),
    "share_with_group": Setting(
        "RUNLORE_SHARE_WITH_GROUP",
        "",
        _optional,
        "group whose members may read the log and the views, too",
    ),
    "url": Setting("RUNLORE_URL", "", _urls, "NATS server(s), comma-separated; unset: the one `runlore up` started"),
    "credentials": Setting("RUNLORE_CREDENTIALS", "", _file, "NATS credentials file for RUNLORE_URL"),
    "nkey": Setting("RUNLORE_NKEY", "", _file, "file with the seed of a NATS nkey, in place of credentials"),
    "tls_ca": Setting("RUNLORE_TLS_CA", "", _file, "certificates of the authority that signed the NATS server's"),
    "tls_cert": Setting("RUNLORE_TLS_CERT", "", _file, "certificate to show to the NATS server"),
    "tls_key": Setting("RUNLORE_TLS_KEY", "", _file, "its private key; unset: in the file of the certificate"),
    "inbox_prefix": Setting(
        "RUNLORE_INBOX_PREFIX", "_INBOX", _subject_prefix, "where answers of the NATS server arrive; one for each role"
    ),
    "jetstream_api": Setting(
        "RUNLORE_JETSTREAM_API",
        "$JS.API",
        _subject_prefix,
        "prefix of JetStream's API, such as `$JS.<domain>.API` for a domain",
    ),
    "token": Setting("RUNLORE_TOKEN", "", _optional, 'token of the page that `Client("https://…")` asks'),
    "project": Setting("RUNLORE_PROJECT", "default", _project, "namespace that separates teams"),
    "shard": Setting(
        "RUNLORE_SHARD",
        "0",
        _shard,
        "shard of the projector, the query service, replicas and the operator; producers and readers look theirs up",
    ),
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
    "parent_process": Setting(
        "RUNLORE_PARENT_PROCESS", "", _optional, "process that set the four above for this one; set by Runlore"
    ),
    "flush_timeout": Setting(
        "RUNLORE_FLUSH_TIMEOUT",
        "",
        _optional_seconds,
        "seconds to wait for unsent events at exit, including connecting; unset: 10 for a first connection, then 5; "
        "none if the server is away",
    ),
    "confirm": Setting(
        "RUNLORE_CONFIRM",
        "auto",
        _confirm,
        "keep acknowledged events in the outbox until archived: auto (if the stream has one replica), always, never",
    ),
    "keep_bytes": Setting("RUNLORE_KEEP_BYTES", "67108864", _count, "maximum bytes of such events in one outbox"),
    "keep_seconds": Setting("RUNLORE_KEEP_SECONDS", "604800", _seconds, "maximum seconds to keep them"),
    "cloudevents": Setting(
        "RUNLORE_CLOUDEVENTS",
        "off",
        _switch,
        "on or off: send CloudEvents attributes as headers, for other tools that read the stream",
    ),
    "outbox_sync": Setting(
        "RUNLORE_OUTBOX_SYNC",
        "off",
        _switch,
        "on or off: each call waits until the disk has its event, which then survives a power cut",
    ),
    "max_event_bytes": Setting("RUNLORE_MAX_EVENT_BYTES", "1000000", _event_bytes, "size limit of one event"),
    "producer_key": Setting(
        "RUNLORE_PRODUCER_KEY",
        "",
        _file,
        "file with the private key that signs this producer's events (`runlore key new`); unset: they are not signed",
    ),
    "producer_passphrase_file": Setting(
        "RUNLORE_PRODUCER_PASSPHRASE_FILE", "", _file, "file with its passphrase, if it is encrypted"
    ),
    "record": Setting(
        "RUNLORE_RECORD",
        "numbers",
        _record,
        "arguments of steps and pipelines to record if `record=` is not given: none, numbers, all, or names "
        "(`lr,optimizer`; `numbers` may be among them)",
    ),
    "redact": Setting(
        "RUNLORE_REDACT",
        "on",
        _switch,
        "on or off: remove everything that looks like a secret from parameters and error messages",
    ),
    "describe": Setting(
        "RUNLORE_DESCRIBE",
        "on",
        _switch,
        "on or off: record with each run what it was started in: git commit and whether it was changed, command, "
        "Python, machine, packages",
    ),
    "spans": Setting(
        "RUNLORE_SPANS",
        "off",
        _switch,
        "on or off: each run and step is also a span of OpenTelemetry, where the program has loaded that",
    ),
    "system_metrics": Setting(
        "RUNLORE_SYSTEM_METRICS",
        "0",
        _seconds,
        "seconds between two samples of the load of machine and process, logged on each run as `system`; 0: none "
        "(needs `runlore[system]`)",
    ),
    "mlflow": Setting(
        "RUNLORE_MLFLOW",
        "tee",
        _mlflow,
        "with `MLFLOW_TRACKING_URI=runlore+…`: tee (MLflow as always, Runlore beside it) or first (Runlore, then "
        "MLflow in the background: its outage stops no training)",
    ),
    "http_host": Setting("RUNLORE_HTTP_HOST", "127.0.0.1", str, "address of the projector's health endpoints"),
    "http_port": Setting("RUNLORE_HTTP_PORT", "0", _count, "their port; 0: any free one"),
    "max_lag": Setting("RUNLORE_MAX_LAG", "10000", _count, "lag in events above which /readyz fails"),
    "dashboard_host": Setting("RUNLORE_DASHBOARD_HOST", "127.0.0.1", str, "address of the page"),
    "dashboard_port": Setting("RUNLORE_DASHBOARD_PORT", "0", _count, "its port; 0: any free one"),
    "dashboard_token": Setting(
        "RUNLORE_DASHBOARD_TOKEN",
        "",
        _optional,
        "token that opens the page; unset: the data folder's own",
    ),
    "dashboard_no_token": Setting(
        "RUNLORE_DASHBOARD_NO_TOKEN", "off", _switch, "on or off: the page asks for no token; on loopback only"
    ),
    "dashboard_hosts": Setting(
        "RUNLORE_DASHBOARD_HOSTS", "", parse_hosts, "additional host names of the page, for example a proxy's"
    ),
    "replicas": Setting(
        "RUNLORE_REPLICAS",
        "",
        _replicas,
        "replicas that the stream is created with, and should have; unset: 1 when it is created",
    ),
    "snapshot_every": Setting(
        "RUNLORE_SNAPSHOT_EVERY",
        "",
        _optional_count,
        "events after which the projector stores a snapshot of the view for replicas; 0: none; unset: 100,000 with "
        "RUNLORE_URL, none with the embedded server",
    ),
    "signer_passphrase": Setting(
        "RUNLORE_SIGNER_PASSPHRASE", "", _optional, "passphrase of `checkpoint.key`, if that is encrypted"
    ),
    "signer_passphrase_file": Setting(
        "RUNLORE_SIGNER_PASSPHRASE_FILE", "", _file, "file with that passphrase, in place of the variable"
    ),
    "signer_command": Setting(
        "RUNLORE_SIGNER_COMMAND",
        "",
        _optional,
        "command that signs checkpoints in place of `checkpoint.key`: bytes on stdin, Ed25519 signature on stdout",
    ),
    "signer_public_key": Setting(
        "RUNLORE_SIGNER_PUBLIC_KEY", "", _file, "file with the public key of that command (PEM or `runlore audit key`)"
    ),
    "checkpoint_targets": Setting(
        "RUNLORE_CHECKPOINT_TARGETS",
        "",
        _targets,
        "where each signed checkpoint is written, too: files, and http(s) addresses that take a PUT, comma-separated",
    ),
    "witness_policy": Setting(
        "RUNLORE_WITNESS_POLICY", "", _file, "file that names witnesses, their keys and addresses (C2SP tlog-policy)"
    ),
    "timestamp_url": Setting(
        "RUNLORE_TIMESTAMP_URL",
        "",
        _http_address,
        "address of a time-stamping authority (RFC 3161), which stamps a checkpoint a minute",
    ),
    "nats_server": Setting("RUNLORE_NATS_SERVER", "", _program, "nats-server program for the embedded server"),
}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one process; `SETTINGS` describes each."""

    data_dir: Path
    share_with_group: str | None
    url: str | None
    credentials: str | None
    nkey: str | None
    tls_ca: str | None
    tls_cert: str | None
    tls_key: str | None
    inbox_prefix: str
    jetstream_api: str
    token: str | None
    project: str
    shard: int
    mode: Mode
    run: str | None
    step: str | None
    pipeline: str | None
    model: str | None
    parent_process: str | None
    flush_timeout: float | None
    confirm: Confirm
    keep_bytes: int
    keep_seconds: float
    cloudevents: bool
    outbox_sync: bool
    max_event_bytes: int
    producer_key: str | None
    producer_passphrase_file: str | None
    record: str
    redact: bool
    describe: bool
    spans: bool
    system_metrics: float
    mlflow: HostOrder
    http_host: str
    http_port: int
    max_lag: int
    dashboard_host: str
    dashboard_port: int
    dashboard_token: str | None
    dashboard_no_token: bool
    dashboard_hosts: tuple[str, ...]
    replicas: int | None
    snapshot_every: int | None
    signer_passphrase: str | None
    signer_passphrase_file: str | None
    signer_command: str | None
    signer_public_key: str | None
    checkpoint_targets: tuple[str, ...]
    witness_policy: str | None
    timestamp_url: str | None
    nats_server: str | None


def read_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from the environment; `overrides` that are not None win. Texts and paths are read the same in both.

    Raises SettingsError naming the variable, or the override; TypeError for a name that is no setting.
    """
    unknown = sorted(overrides.keys() - SETTINGS.keys())
    if unknown:
        raise TypeError(f"no such setting: {', '.join(unknown)}. There are {', '.join(SETTINGS)}")
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        given = overrides.get(name)
        source = setting.variable if given is None else name
        value = environ.get(setting.variable, "").strip() or setting.default if given is None else given
        if isinstance(value, os.PathLike):
            value = os.fspath(cast("os.PathLike[str]", value))
        try:
            # A project is a name whatever it was given as; other values of code are taken as they are.
            values[name] = setting.cast(value) if isinstance(value, str) or setting.cast is _project else value
        except ValueError as error:
            shown = without_user(value) if setting.cast in (_urls, _targets) else value
            raise SettingsError(f"{source}={shown!r}: {error}") from error
    return Settings(**values)


def settings_environment(settings: Settings) -> dict[str, str]:
    """The RUNLORE_* variables from which a child reads the same settings."""
    values = {setting.variable: getattr(settings, name) for name, setting in SETTINGS.items()}
    trusted = {TRUST_FOLDER.variable: "on"} if trusts_any_folder() else {}
    return trusted | {
        variable: " ".join(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else str(value)
        for variable, value in values.items()
        if value is not None
    }
