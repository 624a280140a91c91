"""Changes posted to a real HTTP server: signed, in order, until they are taken."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from stack_process import RUNLORE, run_cli

from runlore.store.folder import DataDir
from tests.events import LogBuilder
from tests.patience import PATIENCE, until
from tests.query.views import fold_live

SECRET = "a-secret-of-24-characters"


class Receiver:
    """A server on a free port; `answers` are given in turn, then 204."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?team=a"

    @property
    def numbers(self) -> list[int]:
        """The values that were taken, each once, in order."""
        return [json.loads(body)["data"]["value"] for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = LogBuilder()
    for number in range(4):
        log.log("model:m@1", {"n": number})
    fold_live(DataDir(tmp_path / "data"), log)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def watching(*arguments: str) -> subprocess.Popen[str]:
    command = [*RUNLORE, "watch", "model:m", "--key", "n", "--since", "0", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)


def stopped(process: subprocess.Popen[str]) -> str:
    """Its stderr, once it has ended."""
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return told


def test_each_change_is_posted_once_in_order_and_signed(folder: Path, receiver: Receiver) -> None:
    (folder / "secret").write_text(SECRET + "\n")
    process = watching("--webhook", receiver.url, "--webhook-secret-file", "secret")
    until(lambda: len(receiver.got) == 4)
    assert stopped(process) == ""
    assert receiver.numbers == [0, 1, 2, 3]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 4
    for headers, body in receiver.got:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = base64.b64encode(hmac.digest(SECRET.encode(), signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{wanted}"
        assert json.loads(body)["type"] == "metadata.changed"
        assert json.loads(body)["data"]["reference"] == "model:m@1"


def test_what_is_not_taken_is_sent_again_and_later_changes_wait(folder: Path, receiver: Receiver) -> None:
    receiver.answers = [(204, {}), (503, {}), (429, {"Retry-After": "1"}), (500, {})]
    process = watching("--webhook", receiver.url)
    until(lambda: len(receiver.got) == 7)
    told = stopped(process)
    assert receiver.numbers == [0, 1, 1, 1, 1, 2, 3]
    assert len({headers["webhook-id"] for headers, _ in receiver.got[1:5]}) == 1
    assert told.count("tried again") == 3  # once for each new reason
    assert "team=a" not in told
    assert "/hook" not in told


def test_a_final_refusal_is_said_and_the_watch_goes_on(folder: Path, receiver: Receiver) -> None:
    receiver.answers = [(410, {}), (302, {"Location": receiver.url})]
    process = watching("--webhook", receiver.url)
    until(lambda: len(receiver.got) == 4)
    told = stopped(process)
    assert receiver.numbers == [0, 1, 2, 3]
    assert "answers 410 Gone: model:m@1 n in event 1" in told
    assert "answers 302 Found" in told


def test_a_watch_that_is_killed_while_the_receiver_is_away_goes_on_with_the_same_change(
    folder: Path, receiver: Receiver
) -> None:
    receiver.answers = [(204, {}), *[(503, {})] * 1000]
    arguments = ("--webhook", receiver.url, "--state", "place.json")
    process = watching(*arguments)
    until(lambda: len(receiver.got) >= 3)
    process.kill()
    process.communicate(timeout=PATIENCE)
    receiver.answers.clear()
    before = len(receiver.got)
    process = watching(*arguments)
    until(lambda: len(receiver.got) >= before + 3)
    stopped(process)
    assert receiver.numbers[before:] == [1, 2, 3]
    assert len({headers["webhook-id"] for headers, _ in receiver.got[1 : before + 1]}) == 1


def test_a_chat_gets_a_sentence(folder: Path, receiver: Receiver) -> None:
    (folder / "address").write_text(receiver.url + "\n")
    process = watching("--webhook", "@address", "--webhook-chat")
    until(lambda: len(receiver.got) == 4)
    stopped(process)
    first = json.loads(receiver.got[0][1])
    assert set(first) == {"text"}
    assert "model:m@1  n = 0" in first["text"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--webhook", "ftp://host/x"), "an address such as https://host/path"),
        (("--webhook", "@nowhere"), "cannot be read from nowhere"),
        (("--webhook", "http:///x"), "names no host"),
        (("--webhook", "http://h/x", "--webhook-secret-file", "short"), "fewer than 16 characters"),
        (("--webhook", "http://h/x", "--webhook-secret-file", "broken"), "no base64 after whsec_"),
        (("--webhook-chat",), "give its address"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_watched(
    folder: Path, arguments: tuple[str, ...], problem: str
) -> None:
    (folder / "short").write_text("hunter2")
    (folder / "broken").write_text("whsec_???")
    done = run_cli("watch", *arguments)
    assert done.returncode in (1, 2)
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
