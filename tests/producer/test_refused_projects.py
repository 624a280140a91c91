"""A project that the server does not take: a reason at once, and no other project waits for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from log_tools import make_stream, outbox_files, read_stream, waiting
from open_servers import open_server
from patience import PATIENCE, until

from runlore.cli.server_checks import check_server
from runlore.producer import Producer
from runlore.producer.maintenance import OutboxKeeper
from runlore.schemas import EntityRef, MetadataLogged, Settings, read_settings
from tests.projector.service_tools import running

TENANTS = """accounts {
  RUNLORE { jetstream: enabled, users: [ { user: admin, password: pw } ],
    exports: [ { service: "runlore.vision.>" }, { service: "runlore.speech.>" } ] }
  TENANT { users: [
      { user: one, password: pw },
      { user: denied, password: pw, permissions: { publish: { deny: "runlore.speech.>" } } } ],
    imports: [ { service: { account: RUNLORE, subject: "runlore.vision.>" } } ] }
  BOTH { users: [ { user: denies, password: pw, permissions: { publish: { deny: "runlore.speech.>" } } } ],
    imports: [ { service: { account: RUNLORE, subject: "runlore.vision.>" } },
               { service: { account: RUNLORE, subject: "runlore.speech.>" } } ] }
}
no_auth_user: one
"""
EVENTS = 300


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("tenants")
    with open_server(folder, jetstream=False, extra=f'jetstream {{ store_dir: "{folder}/js" }}\n{TENANTS}') as (_, at):
        bare = str(at.url).partition("://")[2]
        make_stream(read_settings(url=f"nats://admin:pw@{bare}", data_dir=folder / "admin"))
        yield bare


def emit(settings: Settings, count: int = EVENTS) -> None:
    """As a process does that ends before it has a connection."""
    with Producer(settings, mode="offline") as producer:
        for number in range(count):
            producer.emit_nowait(MetadataLogged((EntityRef("model", "churn"),), {"n": number}))


def projects(address: str) -> list[str]:
    """The projects whose events the stream has."""
    return [event.project for _, event in read_stream(read_settings(url=f"nats://admin:pw@{address}"))]


@pytest.mark.parametrize("user", ["one", "denies"])
def test_the_outbox_of_one_project_never_blocks_anothers(
    user: str, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = projects(address).count("vision")
    keeper_settings = read_settings(url=f"nats://{user}:pw@{address}", confirm="never")
    for project in ("speech", "vision", "speech", "vision"):
        emit(read_settings(url=keeper_settings.url, project=project))
    keeper = OutboxKeeper(keeper_settings)
    keeper.start()
    try:
        until(lambda: projects(address).count("vision") == before + 2 * EVENTS)
        until(
            lambda: len([one for one in caplog.records if "project speech" in one.message]) == 2
        )  # one for each outbox
        until(lambda: waiting(keeper_settings) == 2 * EVENTS)
        emit(read_settings(url=keeper_settings.url, project="vision"), 1)
        assert keeper.wait_swept(PATIENCE)
        until(lambda: projects(address).count("vision") == before + 2 * EVENTS + 1)
    finally:
        keeper.stop()
    assert "project vision" not in caplog.text
    assert "speech" not in projects(address)
    assert len(outbox_files(keeper_settings)) == 2


def test_a_project_that_is_not_imported_has_a_reason_without_waiting_for_time_outs(
    address: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runlore.producer.sending.warnings.NO_STREAM_SECONDS", PATIENCE)
    monkeypatch.setattr("runlore.cli.server_checks.ASK_SECONDS", PATIENCE)
    settings = read_settings(url=f"nats://one:pw@{address}", project="speech", flush_timeout=0.0)
    with Producer(settings) as producer:
        producer.emit_nowait(MetadataLogged((EntityRef("model", "churn"),), {"n": 1}))
        until(lambda: "does not import the subjects of the project" in caplog.text)
    findings = {finding.check: finding for finding in check_server(settings)}
    assert (findings["server"].outcome, findings["stream"].outcome) == ("ok", "fail")
    assert "import the project into this account" in findings["publish"].advice
    with running(settings) as service:
        until(lambda: "import" in service.state.problems.get("connection", ""))


def test_a_tenant_that_may_only_publish_is_well(address: str, data: object) -> None:
    settings = read_settings(url=f"nats://one:pw@{address}", project="vision")
    outcomes = {finding.check: finding.outcome for finding in check_server(settings)}
    assert outcomes == {"server": "ok", "stream": "ok", "publish": "ok"}
