"""`runlore outbox` says for whom events wait, and sends them elsewhere only when told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsConnection
from open_servers import open_server
from stack_process import run_cli

from runlore.producer import Producer
from runlore.projector import ensure_stream, stream_info
from runlore.schemas import EntityRef, NoteAdded, Settings
from runlore.wire.connect import connect


def messages(settings: Settings, make: bool = False) -> int:
    async def nothing(*_: object) -> None: ...

    async def work() -> int:
        connection: NatsConnection = await connect(settings, "test", nothing, nothing)
        try:
            if make:
                await ensure_stream(connection, settings)
            return (await stream_info(connection)).messages
        finally:
            await connection.close()

    return asyncio.run(work())


@pytest.mark.slow
def test_status_says_for_whom_events_wait_and_take_over_sends_them_here(tmp_path: Path) -> None:
    with Producer(mode="offline", url="nats://u:secret@elsewhere.example:4333", project="churn") as producer:
        producer.emit_nowait(NoteAdded((EntityRef("model", "churn"),), "waits"))
    shown = run_cli("outbox", "status")
    assert "elsewhere.example:4333, project churn" in shown.stdout
    assert "secret" not in shown.stdout
    (one,) = json.loads(run_cli("outbox", "status", "--json").stdout)
    assert (one["waiting"], one["kept"]) == (1, 0)
    assert one["destination"]["server"] == "elsewhere.example:4333"
    with open_server(tmp_path) as (_, settings):
        messages(settings, make=True)
        assert settings.url
        left = run_cli("outbox", "drain", "--timeout", "10", RUNLORE_URL=settings.url)
        assert (left.returncode, messages(settings)) == (1, 0)
        assert "still waiting 1" in left.stdout
        sent = run_cli("outbox", "drain", "--take-over", "--timeout", "30", RUNLORE_URL=settings.url)
        assert (sent.returncode, messages(settings)) == (0, 1), sent.stderr
        assert "1" in run_cli("outbox", "status").stdout.splitlines()[-1]  # kept until it is archived
