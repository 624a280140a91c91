"""Query services and the NATS server are killed under readers: no wrong answer, no step back, no entry missed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

import runlore.producer as producer
from runlore.cli.stack import EmbeddedStack
from runlore.query import Client
from runlore.schemas import Settings
from runlore.schemas.errors import NotFoundError, QueryTimeoutError, ServerUnavailableError
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import Endpoint
from tests.patience import PATIENCE, until

ROUNDS = 9
UNAVAILABLE = (ServerUnavailableError, QueryTimeoutError)
"""What a reader may be told while services come and go."""


class Reader:
    """Reads without pause; what it saw has to make sense."""

    def __init__(self, address: str, ended: threading.Event) -> None:
        self.client, self.ended = Client(address), ended
        self.answers, self.refusals, self.wrong = 0, 0, list[str]()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        before = (0, 0)
        while not self.ended.is_set():
            try:
                model = self.client.get("load:x@1")
                now = (self.client.position, model.metadata["n"])
            except (*UNAVAILABLE, NotFoundError) as error:
                self.refusals += 1
                if isinstance(error, NotFoundError) and before != (0, 0):
                    self.wrong.append(f"{error} after {before}")
                continue
            self.answers += 1
            if now < before or now[1] < before[1]:
                self.wrong.append(f"{now} after {before}")
            before = now


class Watcher:
    """Follows the entries of one key, over whatever happens."""

    def __init__(self, address: str, ended: threading.Event) -> None:
        self.client, self.ended, self.seen = Client(address), ended, list[int]()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        watch = None
        while not self.ended.is_set():
            with suppress(*UNAVAILABLE):
                watch = watch or self.client.watch(kind="load", since=0, timeout=0.1)
                self.seen += [change.entry.value for change in watch if change.entry.key == "n"]


def killed(stack: EmbeddedStack, second: subprocess.Popen[bytes], number: int) -> subprocess.Popen[bytes]:
    """Kill the service of the stack, the second one or the server; the second one that runs afterwards."""
    if number % 3 == 0:
        assert stack._queries
        assert stack._queries.pid
        os.kill(stack._queries.pid, signal.SIGKILL)
    elif number % 3 == 1:
        second.kill()
        second.wait()
        return service()
    else:
        endpoint = read_struct(DataDir(stack.settings.data_dir).endpoint, Endpoint)
        assert endpoint
        os.kill(endpoint.pid, signal.SIGKILL)
    return second


def service() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "runlore.query.remote"])


@pytest.mark.slow
def test_readers_go_on_while_services_and_the_server_are_killed(settings: Settings) -> None:
    ended, numbers = threading.Event(), itertools.count()
    with EmbeddedStack(settings, print, with_queries=True) as stack:
        assert stack.wait_ready(_pause, PATIENCE)
        producer.configure()
        second = service()
        try:
            readers = [Reader(stack.address, ended) for _ in range(3)]
            watcher = Watcher(stack.address, ended)
            for number in range(ROUNDS):
                _write(stack, numbers, 40)
                before = [reader.answers for reader in readers]
                second = killed(stack, second, number)
                _write(stack, numbers, 40)
                until(
                    lambda old=before: (
                        _supervised(stack) and all(r.answers > n for r, n in zip(readers, old, strict=True))
                    )
                )
            receipt = producer.log_metadata({"n": next(numbers)}, "load:x@1")
            last = next(numbers) - 1
            with Client(stack.address) as own:  # which sees its own writes
                own.wait_for(receipt, PATIENCE)
                assert own.get("load:x@1").metadata == {"n": last}
            until(lambda: _supervised(stack) and len(watcher.seen) > last)
        finally:
            ended.set()
            for one in (*readers, watcher):
                one.thread.join(PATIENCE)
            second.kill()
            second.wait()
            producer.configure(mode="disabled")
    assert [reader.wrong for reader in readers] == [[], [], []]
    assert watcher.seen == list(range(last + 1))


def _supervised(stack: EmbeddedStack) -> bool:
    stack.supervise()
    return True


def _write(stack: EmbeddedStack, numbers: itertools.count[int], count: int) -> None:
    for number in itertools.islice(numbers, count):
        producer.log_metadata({"n": number}, "load:x@1")
        stack.supervise()
        time.sleep(0.005)


def _pause(seconds: float) -> bool:
    time.sleep(seconds)
    return False
