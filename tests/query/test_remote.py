"""The client of a query service: the same answers as the local one, over a real NATS server."""

from __future__ import annotations

import asyncio
import copy
import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runlore.cli.server import EmbeddedServer
from runlore.query import Client, Entity, ModelVersion, PipelineRun
from runlore.query.remote import line
from runlore.query.remote.methods import CLIENT, ENTITY, NEEDS_FILES, Call, Reply, subject
from runlore.schemas import NotFoundError, read_settings
from runlore.schemas.errors import FilterError, LatestOnlyError, MomentError, RunloreError, ServerUnavailableError
from runlore.store.folder import DataDir
from runlore.store.private_files import read_trusted
from runlore.store.records import Endpoint, Login
from runlore.wire.api import request
from runlore.wire.connect import connect
from tests.events import LogBuilder
from tests.patience import PATIENCE
from tests.query.serving import served
from tests.query.test_entities import pipeline_log
from tests.query.views import fold_live


def both(log: LogBuilder) -> tuple[Client, Client]:
    """A local client and a remote one of the same view."""
    folder = read_settings().data_dir
    fold_live(DataDir(folder), log)
    return Client(folder), remote()


def remote(**more: Any) -> Client:
    endpoint = read_trusted(DataDir(read_settings().data_dir).endpoint, Endpoint)
    assert endpoint is not None
    return Client(endpoint.url, **more)


def sample() -> LogBuilder:
    log = LogBuilder()
    pipeline_log(log)
    for number in range(5):
        log.log("model:churn@1", {"acc": number / 10, "big": 10**30, "tags": {"a", "b"}, "g": {"x": (1, None)}})
    return log


def question(project: str, method: str, *args: Any) -> bytes:
    return msgspec.msgpack.encode(Call(project, method, None, list(args), {}, 2**62, None, "recorded", 0, 5.0))


async def quiet(*_: Any) -> None:
    pass


def same(local: Any, other: Any) -> None:
    assert type(local).__name__ == type(other).__name__
    assert repr(local) == repr(other)
    assert local == other or not isinstance(local, (list, dict, tuple, str, int))


def test_answers_are_the_local_ones(server: EmbeddedServer) -> None:
    local, far = both(sample())
    with served(), far:
        assert far.position == local.position
        assert far.list_kinds() == local.list_kinds()
        for client in (local, far):
            assert isinstance(client.get("model:churn"), ModelVersion)
            assert isinstance(client.get_pipeline_run("nightly-1"), PipelineRun)
        one, two = local.get("model:churn@1"), far.get("model:churn@1")
        for name in ("metadata", "fields", "run_metadata", "created", "known", "position", "stage", "notes"):
            same(getattr(one, name), getattr(two, name))
        same(one.history("acc", limit=2), two.history("acc", limit=2))
        same(one.series("acc"), two.series("acc"))
        same(one.blame(), two.blame())
        same(one.as_of(11).metadata, two.as_of(11).metadata)
        same([node.reference for node in one.upstream().nodes], [node.reference for node in two.upstream().nodes])
        run, far_run = local.get_pipeline_run("nightly-1"), far.get_pipeline_run("nightly-1")
        same(run.name, far_run.name)
        same(run.metadata, far_run.metadata)
        same(run.steps, far_run.steps)
        same(run.steps["load"].outputs, far_run.steps["load"].outputs)
        same(run.history("train::opt.lr"), far_run.history("train::opt.lr"))
        same(local.search("train"), far.search("train"))
        things = ["model:churn@1", "step:0190-aa/train"]
        same(local.compare(things).to_dict(), far.compare(things).to_dict())
        same(local.diff("model:churn@1", since=11), far.diff("model:churn@1", since=11))
        same(list(local.watch(since=0, timeout=0)), list(far.watch(since=0, timeout=0)))
        same(local.find(None, "acc >= 0"), far.find(None, "acc >= 0"))
        page = far.find("step", limit=1)
        assert page.cursor is not None
        same(local.find("step", limit=1, after=page.cursor), far.find("step", limit=1, after=page.cursor))
        same(
            remote(as_of=11).get("model:churn").metadata,
            Client(read_settings().data_dir, as_of=11).get("model:churn").metadata,
        )
        assert pickle.loads(pickle.dumps(two)).metadata == two.metadata
        assert copy.deepcopy(two).metadata == one.metadata


def test_errors_are_the_local_ones(server: EmbeddedServer) -> None:
    local, far = both(sample())
    asks: list[tuple[type[Exception], Any]] = [
        (NotFoundError, lambda client: client.get("model:none")),
        (FilterError, lambda client: client.find("model", "acc >")),
        (MomentError, lambda client: client.find("model", as_of="no such time")),
        (TypeError, lambda client: client.find("model", wher="x")),
        (KeyError, lambda client: client.get("model:churn").run_metadata["none"]),
        (LatestOnlyError, lambda client: type(client).over(client.scope.at(client.moment_of(3))).watch()),
    ]
    with served(), far:
        for kind, ask in asks:
            with pytest.raises(kind) as one:
                ask(local)
            with pytest.raises(kind) as two:
                ask(far)
            assert type(one.value) is type(two.value)
            assert str(one.value) == str(two.value)
        with pytest.raises(RunloreError, match=r"audit_state\(\) is not answered"):
            far.audit_state()


def test_runlore_url_alone_asks_the_service(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, far = both(sample())
    far.close()
    data = DataDir(read_settings().data_dir)
    endpoint, login = read_trusted(data.endpoint, Endpoint), read_trusted(data.service, Login)
    assert endpoint is not None
    assert login is not None
    with served():
        monkeypatch.setenv("RUNLORE_URL", endpoint.url.replace("://", f"://{login.user}:{login.password}@"))
        monkeypatch.setenv("RUNLORE_INBOX_PREFIX", f"_INBOX_{login.user}")
        monkeypatch.setenv("RUNLORE_DATA_DIR", str(tmp_path / "elsewhere"))
        with Client() as client:
            assert client.get("model:churn@1").metadata == local.get("model:churn@1").metadata
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (b"", "no question"),
        (b"\xc1", "no question"),
        (b"\x91" * 5000, "no question"),
        (question("other", "get"), "not about the project and method"),
        (question("default", "_state"), "not about the project and method"),
        (question("default", "get", ["model", "odd"]), "nothing that travels"),
        (question("default", "get", []), "query service failed"),
    ],
)
def test_a_service_answers_what_is_no_question_and_goes_on(server: EmbeddedServer, asked: bytes, told: str) -> None:
    _, far = both(sample())

    async def ask() -> bytes:
        connection = await connect(read_settings(), "test", quiet, quiet)
        try:
            return (await request(connection, subject("default", "get"), asked, PATIENCE)).data
        finally:
            await connection.close()

    with served(), far:
        reply = msgspec.msgpack.decode(asyncio.run(ask()), type=Reply)
        assert reply.failed
        assert told in str(reply.node)
        assert far.get("model:churn@1").metadata


def test_large_answers_come_in_parts(server: EmbeddedServer) -> None:
    log = LogBuilder()
    for number in range(6):
        log.log("model:m@1", {f"k{number}": "x" * 900_000})
    local, far = both(log)
    with served(), far:
        assert far.get("model:m@1").metadata == local.get("model:m@1").metadata


def test_a_service_that_comes_back_is_asked_again_and_never_answers_an_older_state(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "SECONDS", 1.0)
    log = sample()
    _, far = both(log)
    with far:
        with served():
            seen = far.position
        with pytest.raises(ServerUnavailableError, match="runlore query serve"):
            far.get("model:churn")
        with served():
            assert far.position == seen
            assert far.wait_for(seen) == seen
            fold_live(DataDir(read_settings().data_dir), _short(), 2)
            with pytest.raises(RunloreError, match="you have seen event"):
                far.get("model:old")


def _short() -> LogBuilder:
    log = LogBuilder()
    log.log("model:old@1", {"a": 1})
    return log


def test_every_public_name_travels_or_says_why_not(tmp_path: Path) -> None:
    derived = {
        "close", "list_artifact_versions", "list_model_versions", "list_steps", "moment_of", "over", "position",
        "position_at", "project", "recorded_at", "wait_for", "watch", "watch_async",
    }  # fmt: skip
    public = {name for name in vars(Client) if not name.startswith("_")}
    assert public == CLIENT | derived | NEEDS_FILES.keys()
    from_fields = {
        "attempt", "data_type", "environment", "error", "finished_at", "group", "is_model_artifact", "left_empty_by",
        "parameters", "parent", "pipeline", "produced_by", "retry_of", "run", "stage", "started_at", "status", "tags",
    }  # fmt: skip
    without_reading = {"as_of", "moment", "notes", "place", "position", "seen_at"}
    kinds = [Entity, *Entity._classes.values()]
    names = {name for kind in kinds for base in kind.__mro__[:-1] for name in vars(base) if not name.startswith("_")}
    assert names == ENTITY | from_fields | without_reading


def test_an_asker_sees_quarantine_and_producers_of_its_project_only(server: EmbeddedServer) -> None:
    log = LogBuilder()
    for log.project in ("default", "other"):
        log.log("model:m@1", {"a": 1})
        log.add_raw(b"\xc1 unreadable", f"bad-{log.project}")
    local, far = both(log)
    with served(), far:
        [mine] = far.quarantine()
        assert mine["event_id"] == "bad-default"
        assert far.quarantine(10, ["runlore."]) == far.quarantine(10, ["runlore.default.test"]) == [mine]
        assert far.quarantine(10, ["runlore.other."]) == []
        assert (far.quarantined(), local.quarantined()) == (1, 2)
        assert {one["project"] for one in far.producers()} == {"default"}
        assert {one["project"] for one in local.producers()} == {"default", "other"}
