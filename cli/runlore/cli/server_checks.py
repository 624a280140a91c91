"""Checks of `runlore doctor` on the server: its stream, what it would take, and what it lost."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
from collections.abc import Iterator
from typing import Any

import msgspec
from nats.aio.client import Client as NatsConnection

from runlore.cli.finding import Finding
from runlore.cli.stack import public_address
from runlore.projector.archiving.holes import WHAT_TO_DO, find_holes
from runlore.projector.surroundings import RESTART, write_error
from runlore.schemas.errors import (
    AccessDeniedError,
    NotFoundError,
    RunloreError,
    ServerTooOldError,
    ServerUnavailableError,
    SettingsError,
)
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard
from runlore.store.folder import DataDir
from runlore.store.folder_shard import require_own_shard
from runlore.store.sqlite import open_reader, sqlite
from runlore.wire.api import api, request
from runlore.wire.connect import connect
from runlore.wire.destinations import has_shards, known_endpoint
from runlore.wire.failures import InboxDeniedError, NatsError, NoRespondersError
from runlore.wire.shards import find_shard
from runlore.wire.stream import StreamInfo, others_on_our_subjects, stream_drift, stream_info
from runlore.wire.stream_upkeep import upkeep

CONNECT_SECONDS = 2.0
"""A server that takes longer to answer is a finding, though programs wait for it."""
ASK_SECONDS = 5.0
NEARLY_FULL = 0.9
"""Share of an account's storage above which it is nearly full."""

_WRONG_SEQUENCE = 10071
_NEVER = str(2**63)


def check_server(settings: Settings) -> Iterator[Finding]:
    """Findings about the server and the stream, as far as it answers."""
    errors: list[str] = []
    try:
        require_own_shard(settings)
        findings = asyncio.run(_ask(settings, errors))
    except NotFoundError as error:
        yield Finding("stream", "warn", str(error), "start the projector")
    except (AccessDeniedError, ServerTooOldError) as error:
        yield Finding("server", "fail", "; ".join([str(error), *errors]))  # it says what to mend
    except SettingsError as error:
        yield Finding("shard", "fail", str(error))
    except RunloreError as error:
        advice = "start `runlore up`" if not settings.url else "check RUNLORE_URL and the server's log"
        yield Finding("server", "fail", "; ".join([str(error), *errors]), advice)
    else:
        yield Finding("server", "ok", public_address(settings))
        yield from findings
    yield from _storing(settings)


async def _ask(settings: Settings, errors: list[str]) -> list[Finding]:
    async def hear(error: Exception) -> None:
        errors.append(str(error))

    async def closed() -> None:
        """We close it ourselves."""

    connection = await connect(settings, "runlore doctor", hear, closed, CONNECT_SECONDS)
    try:
        try:
            info, reason = await stream_info(connection), ""
        except NotFoundError:
            if others := await _others(connection):
                return [_taken(others)]
            raise
        except ServerUnavailableError as error:
            if connection.is_closed or isinstance(error, InboxDeniedError):
                raise
            info, reason = None, str(error)  # a tenant's account may publish, and need not know more
        publish = await _publishing(connection, settings, errors)
        if info is None:
            return [_unknown_stream(reason, publish), publish]
        return [
            *_stream(info, settings),
            publish,
            *await _storage(connection),
            *await _holes(connection, DataDir(settings.data_dir)),
        ]
    finally:
        await connection.close()


async def _others(connection: NatsConnection) -> list[str]:
    try:
        return await others_on_our_subjects(connection)
    except RunloreError:
        return []  # this user may not ask for that


def _taken(others: list[str]) -> Finding:
    detail = f"there is none of Runlore's, and it cannot be made: {', '.join(others)} takes its subjects"
    advice = "take runlore.> out of it, or use another NATS account or server for Runlore"
    return Finding("stream", "fail", detail, advice)


def _stream(info: StreamInfo, settings: Settings) -> Iterator[Finding]:
    drift = stream_drift(info.config)
    listed = "; ".join(map(str, drift)) or f"{info.messages:,} events, last position {info.last_seq:,}"
    advice = "set it back, after making sure that no event was deleted" if drift else ""
    yield Finding("stream", "fail" if drift else "ok", listed, advice)
    found = {one.check: Finding(one.check, "warn", one.detail, one.remedy) for one in upkeep(info, settings.replicas)}
    yield from ({"replicas": Finding("replicas", "ok", f"{info.replicas}, as it should be")} | found).values()


def _unknown_stream(reason: str, publish: Finding) -> Finding:
    if publish.outcome == "ok":
        return Finding("stream", "ok", "takes the events of this project; this user may not ask for its settings")
    return Finding("stream", "fail", reason, "ask the operator of the server for the rights of a producer")


async def _publishing(connection: NatsConnection, settings: Settings, errors: list[str]) -> Finding:
    """Publish in a way that the stream must refuse: only who may publish hears that."""
    shard = await find_shard(connection, settings.project) if has_shards(settings) else Shard()
    subject = f"{shard.project_prefix(settings.project)}doctor"
    headers = {"Nats-Expected-Last-Sequence": _NEVER}
    try:
        answer = (await request(connection, subject, b"", ASK_SECONDS, headers)).data
    except AccessDeniedError as error:
        advice = f"a producer of the project {settings.project} needs the right to publish; a projector does not"
        projects = DataDir(settings.data_dir).status.exists()  # the user of a projector has no need to publish
        return Finding("publish", "warn" if projects else "fail", str(error), advice)
    except NoRespondersError:
        detail = f"no stream takes {subject}"
        return Finding(
            "publish", "fail", detail, "import the project into this account: `runlore operator permissions`"
        )
    except NatsError as error:
        detail = "; ".join([f"no answer to a message on {subject} ({type(error).__name__})", *errors])
        return Finding("publish", "fail", detail, "give the user of RUNLORE_URL the right to publish on runlore.>")
    refusal = msgspec.json.decode(answer).get("error", {})
    if refusal.get("err_code") == _WRONG_SEQUENCE:
        return Finding("publish", "ok", f"{subject} reaches the stream")
    return Finding("publish", "fail", f"refused: {refusal.get('description')}", "raise the limits of the account")


async def _storage(connection: NatsConnection) -> list[Finding]:
    try:
        account: dict[str, Any] = await api(connection, "INFO")
    except AccessDeniedError:
        return []  # a projector needs it for nothing
    limit, used = int(account.get("limits", {}).get("max_storage", -1)), int(account.get("storage", 0))
    if limit <= 0 or used < limit * NEARLY_FULL:
        return []
    detail = f"{used / 1e6:,.0f} of the account's {limit / 1e6:,.0f} MB are used"
    return [Finding("storage", "fail", detail, "raise the account's limit: at the limit the server refuses events")]


async def _holes(connection: NatsConnection, data: DataDir) -> list[Finding]:
    if not data.log.exists():
        return []
    try:
        with contextlib.closing(open_reader(data.log)) as log:
            position = log.execute("SELECT position FROM log_state").fetchone()[0]
            found = await find_holes(connection, log, position)
    except (sqlite.Error, TypeError):
        return []  # the finding about the file says so
    return [Finding("holes", "fail", found, WHAT_TO_DO) if found else Finding("holes", "ok", "none seen")]


def _storing(settings: Settings) -> Iterator[Finding]:
    endpoint = None if settings.url else known_endpoint(settings)
    if endpoint is None or not endpoint.monitor:
        return
    try:
        error = write_error(endpoint)
    except (OSError, http.client.HTTPException):
        return  # the server's own finding says that it is away
    if error:
        yield Finding("storing", "fail", f"nats-server stores no more events: {error}", RESTART)
    else:
        yield Finding("storing", "ok", "the server stores events")
