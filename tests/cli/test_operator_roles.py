"""Each role on a real server that runs with what `runlore operator config` prints, against each subject of JetStream."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from runlore.cli.operating.roles import (
    Role,
    operator,
    producer,
    project_reader,
    projector,
    query_service,
    reader,
    restorer,
)
from runlore.cli.restoring import Restore
from runlore.cli.server import PRODUCER, SERVICE, EmbeddedServer, find_program
from runlore.cli.server_checks import check_server
from runlore.producer import Producer
from runlore.projector.archiving.copy_stream import copy_stream
from runlore.projector.replicas.replica import Replica
from runlore.projector.snapshots.shelf import Shelf, Stored
from runlore.projector.snapshots.take import take_snapshot
from runlore.query import Client
from runlore.schemas import AccessDeniedError, EntityRef, Erased, MetadataLogged, NoteAdded, Settings, read_settings
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import Endpoint, ReplicaMark
from runlore.wire.connect import connect
from tests.cli.stack_process import run_cli
from tests.clusters import free_ports
from tests.faults.streams import filled_log
from tests.open_servers import service_login
from tests.patience import until
from tests.projector.service_tools import running
from tests.query.serving import served

API = (
    "INFO", "STREAM.NAMES", "STREAM.LIST", "META.LEADER.STEPDOWN", "SERVER.REMOVE", "ACCOUNT.PURGE.RUNLORE",
    *(f"STREAM.{request}.{stream}" for stream in ("RUNLORE", "RUNLORE_CHECKPOINTS", "OTHER") for request in (
        "CREATE", "UPDATE", "INFO", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE", "SNAPSHOT", "RESTORE", "PEER.REMOVE",
        "LEADER.STEPDOWN", "CANCEL_MOVE")),
    *(f"CONSUMER.{request}.{stream}.c" for stream in ("RUNLORE", "OTHER") for request in (
        "CREATE", "DURABLE.CREATE", "INFO", "DELETE", "MSG.NEXT", "LEADER.STEPDOWN", "PAUSE", "RESET", "UNPIN")),
    "CONSUMER.CREATE.OTHER", "CONSUMER.CREATE.RUNLORE.c.runlore.speech.x", "CONSUMER.NAMES.RUNLORE",
    "CONSUMER.LIST.RUNLORE", "DIRECT.GET.RUNLORE", "DIRECT.GET.RUNLORE.runlore.vision.x",
    *(f"{request}.OBJ_RUNLORE_SNAPSHOTS" for request in (
        "STREAM.CREATE", "STREAM.INFO", "STREAM.PURGE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.MSG.DELETE",
        "DIRECT.GET")),
    *(f"{request}.KV_runlore-shards" for request in (
        "STREAM.CREATE", "STREAM.INFO", "STREAM.PURGE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.MSG.GET", "DIRECT.GET")),
    *(f"DIRECT.GET.KV_runlore-shards.$KV.runlore-shards.{project}" for project in ("vision", "speech")),
)  # fmt: skip
PUBLISH = (
    *(f"$JS.API.{request}" for request in API),
    "$JS.ACK.RUNLORE.c.1.1.1.1.1", "$SYS.REQ.SERVER.PING", "anything", "runlore_archive", "runlore_archive.epoch",
    "runlore.=signing.keys", "runlore_checkpoints.epoch",
    "runlore.vision.model.x", "runlore.speech.model.x", "_INBOX_projector.x", "_INBOX_producer-vision.x",
    "runlore-query.v1.vision.get", "runlore-query.v1.speech.get", "runlore-query.v1.vision", "$SRV.PING",
    "$O.RUNLORE_SNAPSHOTS.C.x", "$KV.runlore-shards.vision", "$KV.runlore-shards.speech",
)  # fmt: skip
SUBSCRIBE = (
    ">", "_INBOX.>", "runlore.>", "runlore.vision.>", "$JS.API.>", "$JS.ACK.>", "runlore_archive", "runlore_archive.*",
    *(f"{role.inbox}.>" for role in (projector(), reader(), operator(), producer("vision"), producer("speech"))),
    "_INBOX_runlore.>", "_INBOX_producer.>", "_INBOX_reader-vision.>", "_INBOX_query-service.>",
    "runlore-query.>", "runlore-query.v1.*.*", "runlore-query.v1.vision.get", "$SRV.>", "$SRV.PING", "$SRV.PING.other",
    "$SRV.STATS.runlore-query.x",
)  # fmt: skip
LAST = "nobody.may"
READ = {"STREAM.INFO.RUNLORE", "STREAM.MSG.GET.RUNLORE", "CONSUMER.CREATE.RUNLORE.c", "CONSUMER.MSG.NEXT.RUNLORE.c"}
FETCH = "DIRECT.GET.OBJ_RUNLORE_SNAPSHOTS"
STORE = {FETCH, *(f"STREAM.{one}.OBJ_RUNLORE_SNAPSHOTS" for one in ("CREATE", "INFO", "PURGE", "MSG.DELETE"))}
ARCHIVE = {"runlore_archive", "runlore_archive.epoch"}


SHARD = {"DIRECT.GET.KV_runlore-shards.$KV.runlore-shards.vision", "STREAM.INFO.KV_runlore-shards"}
LOOKUPS = SHARD | {"DIRECT.GET.KV_runlore-shards.$KV.runlore-shards.speech"}
SHARDS = {f"STREAM.{one}.KV_runlore-shards" for one in ("CREATE", "INFO")}
ASK = "runlore-query.v1.vision.get"
QUERIES = {"runlore-query.v1.*.*", ASK, "$SRV.PING", "$SRV.STATS.runlore-query.x"}


def js(requests: set[str]) -> set[str]:
    return {f"$JS.API.{request}" for request in requests}


SIGNING = {
    "runlore.=signing.keys", "runlore_checkpoints.epoch",
    *js({"STREAM.CREATE.RUNLORE_CHECKPOINTS", "STREAM.MSG.GET.RUNLORE_CHECKPOINTS"}),
}  # fmt: skip


ROLES: list[tuple[Role, set[str], set[str]]] = [
    (producer("vision"), {*ARCHIVE, "runlore.vision.model.x", ASK, *js({"STREAM.INFO.RUNLORE"} | SHARD)}, set()),
    (project_reader("vision"), {ASK, *js(SHARD)}, set()),
    (projector(), {"$O.RUNLORE_SNAPSHOTS.C.x", *SIGNING, *js(READ | STORE)},
     {"runlore_archive", "runlore_archive.*", *QUERIES}),
    (query_service(), {"runlore_archive"}, QUERIES),
    (reader(), js(READ | {FETCH}), set()),
    (operator(), {"$KV.runlore-shards.vision", "$KV.runlore-shards.speech",
                  *js(READ | SHARDS | {"STREAM.CREATE.RUNLORE", "STREAM.NAMES", "INFO"})}, set()),
    (restorer(), js(READ | {f"STREAM.{one}.RUNLORE" for one in ("CREATE", "UPDATE", "DELETE", "SNAPSHOT", "RESTORE")}),
     set()),
]  # fmt: skip
"""Each role, and all that it may publish on, and subscribe to beside its own inbox."""


class Operated:
    """A server whose configuration is what the command printed."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        listen = ["--listen", f"127.0.0.1:{self.port}", "--store", str(folder / "store"), "--restore"]
        printed = run_cli("operator", "config", "--project", "vision", "--project", "speech", *listen)
        assert printed.returncode == 0, printed.stderr
        (folder / "nats.conf").write_text(printed.stdout)
        passwords = {name: f"pw-{name}" for name in re.findall(r"password: \$(\w+)", printed.stdout)}
        command = [find_program(None), "-c", str(folder / "nats.conf")]
        log = (folder / "server.log").open("wb")
        self.process = subprocess.Popen(command, env={**os.environ, **passwords}, stdout=log, stderr=log)

    def settings(self, role: Role, **more: Any) -> Settings:
        login = f"{role.user.replace('%', '%25')}:pw-{role.password_variable}"
        return read_settings(url=f"nats://{login}@127.0.0.1:{self.port}", inbox_prefix=role.inbox, **more)


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    server = Operated(tmp_path_factory.mktemp("operated"))
    try:
        until(lambda: not isinstance(attempt(server.settings(reader())), OSError))
        yield server
    finally:
        server.process.terminate()
        server.process.wait()


def attempt(settings: Settings) -> OSError | None:
    try:
        asyncio.run(denied(settings, [], []))
    except OSError as error:
        return error
    return None


async def denied(settings: Settings, publish: Sequence[str], subscribe: Sequence[str]) -> tuple[set[str], set[str]]:
    """The subjects that the server refuses this user."""
    errors: list[str] = []
    last_heard = asyncio.Event()

    async def hear(error: Exception) -> None:
        errors.append(str(error))
        if LAST in errors[-1]:
            last_heard.set()

    async def closed() -> None: ...

    connection = await connect(settings, "test", hear, closed)
    try:
        inbox = connection.new_inbox()
        for subject in subscribe:
            await connection.subscribe(subject)
        for subject in publish:
            await connection.publish(subject, b"", reply=inbox)
        await connection.publish(LAST, b"")  # nobody may: with its refusal all before it were heard
        await last_heard.wait()
    finally:
        await connection.close()
    found = [re.search(r'permissions violation for (\w+) to "([^"]+)"', error.lower()) for error in errors]
    by_kind = {
        kind: {match[2] for match in found if match and match[1] == kind} for kind in ("publish", "subscription")
    }
    return by_kind["publish"], by_kind["subscription"]


def refused(settings: Settings) -> tuple[set[str], set[str]]:
    publish, subscribe = asyncio.run(denied(settings, PUBLISH, SUBSCRIBE))
    return (
        {subject for subject in PUBLISH if subject.lower() in publish},
        {subject for subject in SUBSCRIBE if subject.lower() in subscribe},
    )


@pytest.mark.parametrize(("role", "may_publish", "may_subscribe"), ROLES, ids=[role.user for role, *_ in ROLES])
def test_a_role_may_use_its_subjects_and_no_other(
    role: Role, may_publish: set[str], may_subscribe: set[str], operated: Operated
) -> None:
    publish, subscribe = refused(operated.settings(role))
    assert set(PUBLISH) - publish == may_publish
    assert set(SUBSCRIBE) - subscribe == {f"{role.inbox}.>"} & set(SUBSCRIBE) | may_subscribe


def test_roles_work_together_and_two_projects_stay_apart(operated: Operated, tmp_path: Path) -> None:
    variables = {"RUNLORE_URL": operated.settings(operator()).url or "", "RUNLORE_INBOX_PREFIX": operator().inbox}
    for says in ("was made", "is there already"):
        made = run_cli("operator", "stream", "--create", **variables)
        assert (made.returncode, says in made.stderr) == (0, True), made.stderr
    settings = operated.settings(projector(), data_dir=tmp_path / "projector")
    with running(settings) as service:
        until(lambda: service.state.connected)
        for project in ("vision", "speech"):
            steps = operated.settings(producer(project), data_dir=tmp_path / project, project=project)
            with Producer(steps) as sender:
                fact = MetadataLogged((EntityRef("model", "churn"),), {"of": project})
                large = [MetadataLogged((EntityRef("model", "large"),), {f"k{n}": "x" * 900_000}) for n in range(3)]
                sent = [sender.emit_nowait(one) for one in (*large, *[fact] * 37)]
                assert sent[-1].wait(60) > 0
            # Archived, too: the projector's answer came back into their account.
            assert {one.check: one.outcome for one in check_server(steps)} == {
                "server": "ok", "stream": "ok", "publish": "ok"}  # fmt: skip
        service.folded(80)
        found = {one.check: one for one in check_server(settings)}
        assert (found["stream"].outcome, found["publish"].outcome, found["holes"].outcome) == ("ok", "warn", "ok")
    for project in ("vision", "speech"):
        with Client(settings.data_dir, project=project) as client:
            assert client.get("model:churn").metadata == {"of": project}
    assert copy_stream(operated.settings(reader()), tmp_path / "copy.db") == 80
    assert take_snapshot(settings).snapshot.position == 80
    ours = operated.settings(reader(), data_dir=tmp_path / "replica")
    with running(ours, Replica(ours)) as following:
        following.folded(80)
    mark = read_struct(DataDir(ours.data_dir).replica, ReplicaMark)
    assert mark
    assert mark.snapshot
    with served(operated.settings(query_service(), data_dir=settings.data_dir)):
        readers_reach_their_project(operated, tmp_path)


def readers_reach_their_project(operated: Operated, tmp_path: Path) -> None:
    for role in (project_reader("vision"), producer("vision")):
        mine = operated.settings(role, data_dir=tmp_path / "none", project="vision")
        with client_of(mine) as client:
            assert client.get("model:churn").metadata == {"of": "vision"}
            assert sum(map(len, client.get("model:large").metadata.values())) == 2_700_000  # in parts
            with client_of(mine, project="speech") as other, pytest.raises(AccessDeniedError, match="speech"):
                other.get("model:churn")
    unset = operated.settings(project_reader("vision"), project="vision")
    with client_of(unset, inbox="_INBOX") as client, pytest.raises(AccessDeniedError, match="RUNLORE_INBOX_PREFIX"):
        client.get("model:churn")


def client_of(settings: Settings, project: str | None = None, inbox: str | None = None) -> Client:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RUNLORE_INBOX_PREFIX", inbox or settings.inbox_prefix)
        return Client(settings.url, project=project or settings.project)


def test_a_user_without_the_prefix_of_its_inbox_is_told_which_setting_to_mend(
    operated: Operated, caplog: pytest.LogCaptureFixture
) -> None:
    url = operated.settings(producer("vision")).url
    with Producer(read_settings(url=url, project="vision", flush_timeout=0.0)) as sender:
        sender.emit_nowait(MetadataLogged((EntityRef("model", "churn"),), {"n": 1}))
        until(lambda: "RUNLORE_INBOX_PREFIX" in caplog.text)
    settings = operated.settings(reader())
    done = run_cli("replay", "--from", str(settings.url), "--as", "-")
    assert (done.returncode, "RUNLORE_INBOX_PREFIX" in done.stderr) == (1, True), done.stderr


@pytest.mark.slow
def test_an_erasure_reaches_a_server_of_ones_own(tmp_path: Path) -> None:
    server, secret = Operated(tmp_path), b"zebra-4711"
    try:
        until(lambda: not isinstance(attempt(server.settings(reader())), OSError))
        login = {"RUNLORE_URL": server.settings(operator()).url or "", "RUNLORE_INBOX_PREFIX": operator().inbox}
        assert run_cli("operator", "stream", "--create", **login).returncode == 0
        settings = server.settings(projector(), data_dir=tmp_path / "projector", project="vision")
        with running(settings) as service:
            until(lambda: service.state.connected)
            with Producer(server.settings(producer("vision"), data_dir=tmp_path / "step", project="vision")) as sender:
                model = EntityRef("model", "churn")
                sender.emit_nowait(MetadataLogged((model,), {"customer": secret.decode(), "owner": "ada"}))
                assert sender.emit_nowait(NoteAdded((model,), f"ask {secret.decode()}")).wait(60) == 2
            service.folded(2)
            old = take_snapshot(settings).snapshot
            with Client(settings.data_dir, project="vision") as client:
                assert not client.erase(model, reason="left", content=["everything"]).erased
                done = client.erase(model, reason="left", content=["everything"], dry_run=False, timeout=60)
                assert (done.erased, done.events, done.values) == (True, [1, 2], 3)
                assert client.get("model:churn").metadata == {"customer": Erased("left"), "owner": Erased("left")}
            left = snapshots_of(settings)
            assert [one.snapshot.tables != old.tables for one in left] == [True]
            assert until(lambda: not [path for path in holding(tmp_path, secret) if "store" not in path.parts])
        restore(server.settings(restorer(), data_dir=tmp_path / "projector", project="vision"))
    finally:
        server.process.terminate()
        server.process.wait()
    assert holding(tmp_path / "store", secret) == []


def snapshots_of(settings: Settings) -> list[Stored]:
    async def ask() -> list[Stored]:
        connection = await connect(settings, "test", _heard, _closed)
        try:
            return await Shelf(connection).snapshots()
        finally:
            await connection.close()

    return asyncio.run(ask())


async def _heard(error: Exception) -> None: ...


async def _closed() -> None: ...


def holding(folder: Path, text: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


@pytest.mark.slow
def test_the_restorer_may_put_a_stream_in_the_place_of_a_damaged_one(operated: Operated, data: DataDir) -> None:
    rows = filled_log(data)
    with pytest.raises(AccessDeniedError, match="Nothing was changed"):
        restore(operated.settings(reader()))
    restore(operated.settings(restorer()))
    copied = copy_stream(operated.settings(reader()), data.root / "copy.db")
    assert copied >= rows[-1].position


def restore(settings: Settings) -> None:
    with Restore(settings, lambda what, at, of: None) as restoring:
        plan = restoring.plan()
        assert not plan.whole
        restoring.apply(plan)


ASKED = {ASK, "runlore-query.v1.speech.get", "runlore-query.v1.vision"}
EMBEDDED = {
    SERVICE: (
        {*ARCHIVE, *SIGNING, "runlore.vision.model.x", "runlore.speech.model.x", "$O.RUNLORE_SNAPSHOTS.C.x",
         *js(LOOKUPS | READ | STORE | {"INFO", "STREAM.NAMES", "STREAM.CREATE.RUNLORE", "CONSUMER.CREATE.RUNLORE.c.runlore.speech.x"}),
         *ASKED},
        {"_INBOX_runlore.>", "runlore_archive", "runlore_archive.*", *QUERIES}),
    PRODUCER: (
        {*ARCHIVE, "runlore.vision.model.x", "runlore.speech.model.x", *js(LOOKUPS | {"STREAM.INFO.RUNLORE"}), *ASKED},
        {"_INBOX_producer.>"}),
}  # fmt: skip


@pytest.mark.usefixtures("server")
def test_the_embedded_server_has_roles_too(data: DataDir, server: EmbeddedServer) -> None:
    endpoint = read_struct(data.endpoint, Endpoint)
    assert endpoint
    steps = endpoint.url.replace("nats://", f"nats://{endpoint.user}:{endpoint.password}@")
    service = service_login(data)
    for user, url in ((PRODUCER, steps), (SERVICE, service["RUNLORE_URL"])):
        publish, subscribe = refused(read_settings(url=url, inbox_prefix=f"_INBOX_{user}"))
        assert (set(PUBLISH) - publish, set(SUBSCRIBE) - subscribe) == EMBEDDED[user], user
