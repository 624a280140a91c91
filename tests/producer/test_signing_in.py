"""Every way of signing in that NATS has, against a real server each; and what is said where it fails."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_tools import logged, make_stream

from runlore.cli import server_checks
from runlore.cli.server_checks import check_server
from runlore.producer import Producer, drain
from runlore.schemas import EntityRef, MetadataLogged, Settings, read_settings
from runlore.schemas.errors import (
    AccessDeniedError,
    ReceiptTimeoutError,
    RunloreError,
    ServerUnavailableError,
    SettingsError,
)
from runlore.wire.connect import connect
from tests.open_servers import open_server
from tests.patience import PATIENCE, until
from tests.signing_in import encrypted_key, make_certificates, make_operator, make_seed


def fact(number: int) -> MetadataLogged:
    return MetadataLogged((EntityRef("model", "churn"),), {"n": number})


@contextlib.contextmanager
def server_with(folder: Path, config: str) -> Iterator[str]:
    """The bare address of a server with this configuration."""
    with open_server(folder, extra=config) as (_, settings):
        assert settings.url
        yield settings.url.partition("://")[2]


def sends(settings: Settings) -> bool:
    """Whether what a producer logs arrives, and whoever reads the stream signs in the same way."""
    make_stream(settings)
    with Producer(settings, confirm="never") as producer:
        producer.emit_nowait(fact(1)).wait(90)
    return logged(settings) == [1]


async def nothing(*_: object) -> None:
    """Not called before there is a connection."""


def refusal(settings: Settings) -> str:
    async def attempt() -> None:
        await connect(settings, "test", nothing, nothing)

    with pytest.raises(ServerUnavailableError) as caught:
        asyncio.run(attempt())
    return f"{type(caught.value).__name__}: {caught.value}"


def test_a_user_and_a_password_with_any_characters(tmp_path: Path) -> None:
    users = 'authorization { users: [ { user: "a:b@c", password: "p@ss/w%rd?#" } ] }'
    with server_with(tmp_path, users) as address:
        assert sends(read_settings(url=f"nats://a%3Ab%40c:p%40ss%2Fw%25rd%3F%23@{address}"))
        output = refusal(read_settings(url=f"nats://a%3Ab%40c:wrong@{address}"))
        assert output.startswith("AccessDeniedError: ")
        assert "wrong" not in output


def test_a_token(tmp_path: Path) -> None:
    with server_with(tmp_path, 'authorization { token: "s3cr@t" }') as address:
        assert sends(read_settings(url=f"nats://s3cr%40t@{address}"))
        assert refusal(read_settings(url=f"nats://{address}")).startswith("AccessDeniedError: ")


def test_an_nkey(tmp_path: Path) -> None:
    seed, public = make_seed()
    other, _ = make_seed()
    (tmp_path / "seed").write_text(seed + "\n")
    (tmp_path / "other").write_text(other)
    with server_with(tmp_path, f"authorization {{ users: [ {{ nkey: {public} }} ] }}") as address:
        assert sends(read_settings(url=f"nats://{address}", nkey=str(tmp_path / "seed")))
        output = refusal(read_settings(url=f"nats://{address}", nkey=str(tmp_path / "other")))
        assert output.startswith("AccessDeniedError: ")


def test_a_credentials_file_of_an_operators_account(tmp_path: Path) -> None:
    config, credentials = make_operator(tmp_path / "operator")
    with server_with(tmp_path, config) as address:
        assert sends(read_settings(url=f"nats://{address}", credentials=str(credentials)))
        assert refusal(read_settings(url=f"nats://{address}")).startswith("AccessDeniedError: ")


def test_a_private_authority_and_a_client_certificate(tmp_path: Path) -> None:
    files = make_certificates(tmp_path / "tls")
    config = (
        f'tls {{ cert_file: "{files.server}", key_file: "{files.server_key}", ca_file: "{files.ca}", verify: true }}'
    )
    with server_with(tmp_path, config) as address:
        url = f"tls://{address}"
        keys = {"tls_ca": str(files.ca), "tls_cert": str(files.client), "tls_key": str(files.client_key)}
        assert sends(read_settings(url=url, **keys))
        assert sends_again(read_settings(url=f"nats://{address}", **keys))
        unknown = refusal(read_settings(url=url))
        assert "certificate" in unknown
        assert "RUNLORE_TLS_CA" in unknown
        nobody = refusal(read_settings(url=url, tls_ca=str(files.ca)))
        assert "RUNLORE_TLS_CERT" in nobody


def sends_again(settings: Settings) -> bool:
    with Producer(settings, confirm="never") as producer:
        producer.emit_nowait(fact(2)).wait(90)
    return logged(settings)[-1] == 2


@pytest.mark.parametrize("scheme", ["tls", "nats"])
def test_nothing_is_told_to_a_server_that_does_not_speak_tls_where_tls_is_asked_for(
    tmp_path: Path, scheme: str
) -> None:
    """As somebody in between would have it, who leaves TLS out to read the password."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.14.0","max_payload":1048576,"auth_required":true}\r\n')
        await writer.drain()
        heard.append(await reader.read())
        writer.close()

    async def attempt() -> str:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ca = None if scheme == "tls" else str(make_certificates(tmp_path).ca)
            with pytest.raises(AccessDeniedError) as caught:
                await connect(
                    read_settings(url=f"{scheme}://user:secret@{address}", tls_ca=ca), "test", nothing, nothing
                )
            return str(caught.value)

    assert "does not require TLS" in asyncio.run(attempt())
    assert heard in ([], [b""])


def test_a_server_that_wants_tls_before_anything_is_said(tmp_path: Path) -> None:
    files = make_certificates(tmp_path / "tls")
    config = f'tls {{ cert_file: "{files.server}", key_file: "{files.server_key}", handshake_first: true }}'
    with server_with(tmp_path, config) as address:
        make_stream(read_settings(url=f"tls://{address}", tls_ca=str(files.ca)))
        assert "RUNLORE_TLS_CA" in refusal(read_settings(url=f"tls://{address}"))
        assert "use tls:// in RUNLORE_URL" in refusal(read_settings(url=f"nats://{address}"))


@pytest.mark.parametrize(
    ("greeting", "answer", "told"),
    [
        (b"", b"HTTP/1.1 400 Bad Request\r\n", "speaks HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", b"", "begins with 'SSH-2.0-OpenSSH_9.2'"),
        (b"\x4a\x00\x00\x00\x0a", b"", "is another kind of server"),
    ],
)
def test_another_kind_of_server_is_named_and_not_waited_for(greeting: bytes, answer: bytes, told: str) -> None:
    """It never says what would end the wait for a NATS server: without a second look, the error is a time-out."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        if await reader.read(100):
            writer.write(answer)
            await writer.drain()
        writer.close()

    async def attempt() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(ServerUnavailableError, match=rf"{address} .*{told}"):
                await connect(read_settings(url=f"nats://{address}"), "test", nothing, nothing, timeout=PATIENCE)

    asyncio.run(attempt())


def test_the_address_of_a_page_is_none_of_a_nats_server() -> None:
    assert "no address of a NATS server" in refusal(read_settings(url="http://127.0.0.1:1"))


def test_an_address_that_is_none_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match="nats://host:4222"):
        read_settings(url="nats://[::1")


def test_an_inbox_prefix_of_ones_own(tmp_path: Path) -> None:
    users = """authorization { users: [ { user: step, password: pw, permissions: {
        publish: ">", subscribe: ["_INBOX_step.>"] } } ] }"""
    with server_with(tmp_path, users) as address:
        url = f"nats://step:pw@{address}"
        assert sends(read_settings(url=url, inbox_prefix="_INBOX_step"))


def test_a_jetstream_domain(tmp_path: Path) -> None:
    with open_server(
        tmp_path, jetstream=False, extra=f'jetstream {{ store_dir: "{tmp_path / "js"}", domain: hub }}'
    ) as (
        _,
        settings,
    ):
        assert sends(read_settings(url=settings.url, jetstream_api="$JS.hub.API"))


@pytest.mark.parametrize("name", ["credentials", "nkey", "tls_ca", "tls_cert"])
@pytest.mark.parametrize("content", [None, b"", b"no such thing\n", b"\xff\xfe"])
def test_a_file_that_is_of_no_use_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    output = refusal(read_settings(url="nats://127.0.0.1:1", **{name: str(path)}))
    assert output.startswith(f"AccessDeniedError: RUNLORE_{name.upper()}={path} cannot be used: ")


def test_an_encrypted_key_is_refused_without_asking_on_the_terminal(tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    key = str(encrypted_key(tmp_path))
    output = refusal(read_settings(url="nats://127.0.0.1:1", tls_cert=str(files.client), tls_key=key))
    assert "encrypted" in output


@pytest.mark.parametrize(
    ("wrong", "output"),
    [
        ({"url": "nats://a:b@127.0.0.1:1,nats://c:d@127.0.0.1:2"}, "different users"),
        ({"url": "nats://127.0.0.1:1", "tls_key": "/key"}, "RUNLORE_TLS_CERT"),
        ({"url": "nats://127.0.0.1:1", "nkey": "/a", "credentials": "/b"}, "one of them"),
    ],
)
def test_settings_that_contradict_each_other_say_so(wrong: dict[str, str], output: str) -> None:
    assert output in refusal(read_settings(**wrong))


@pytest.mark.parametrize("prefix", ["", "a b", "a.>", "*", "a..b", ".a"])
def test_a_prefix_is_a_subject(prefix: str) -> None:
    if prefix == "":
        assert read_settings(inbox_prefix=None).inbox_prefix == "_INBOX"
        return
    with pytest.raises(SettingsError, match="without wildcards"):
        read_settings(inbox_prefix=prefix)


def test_a_producer_tells_its_user_why_it_cannot_sign_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = read_settings(url="nats://127.0.0.1:1", credentials=str(tmp_path / "none"), flush_timeout=0.0)
    with Producer(settings) as producer:
        producer.emit_nowait(fact(1))
        producer.flush(2)
    assert "RUNLORE_CREDENTIALS" in caplog.text


def test_who_hears_nothing_of_a_server_is_told_so_before_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_checks, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, as for a server that hangs
        settings = read_settings(url=f"nats://127.0.0.1:{silent.getsockname()[1]}", data_dir=tmp_path)
        heard: list[str] = []

        async def attempt() -> None:
            async def hear(error: Exception) -> None:
                heard.append(str(error))
                trying.cancel()

            trying = asyncio.create_task(connect(settings, "test", hear, nothing, PATIENCE))
            await asyncio.gather(trying, return_exceptions=True)

        asyncio.run(attempt())
        assert [text.partition(" from")[0] for text in heard] == ["no answer yet"]
        with Producer(settings, flush_timeout=0.0) as producer:
            receipt = producer.emit_nowait(fact(1))
            with pytest.raises(ReceiptTimeoutError, match="no NATS server has answered yet"):
                receipt.wait(0.5)
        [finding] = list(check_server(settings))
        assert "nothing was heard for 0.2 s" in finding.detail


def test_doctor_names_the_inbox_that_its_user_may_not_have(tmp_path: Path) -> None:
    users = """authorization { users: [ { user: step, password: pw, permissions: {
        publish: ">", subscribe: ["_INBOX_step.>"] } } ] }"""
    with server_with(tmp_path, users) as address:
        [finding] = list(check_server(read_settings(url=f"nats://step:pw@{address}")))
        assert (finding.outcome, "set RUNLORE_INBOX_PREFIX" in finding.detail) == ("fail", True)


def test_who_waits_for_an_event_or_leaves_it_behind_is_told_why_it_is_not_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with http_server() as port:
        page = read_settings(url=f"nats://127.0.0.1:{port}", data_dir=tmp_path, flush_timeout=0.0)
        with Producer(page) as producer:
            receipt = producer.emit_nowait(fact(1))
            until(lambda: "speaks HTTP" in caplog.text)  # which needs a person, so the log says it at once
            with pytest.raises(ReceiptTimeoutError, match="speaks HTTP"):
                receipt.wait(0)
    nobody = read_settings(url="nats://127.0.0.1:1", data_dir=tmp_path)
    assert drain(nobody, 1, take_over=True).unsent == 1
    assert "Connect call failed" in caplog.text


@contextlib.contextmanager
def http_server() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_refusals_are_errors_of_runlore() -> None:
    assert issubclass(AccessDeniedError, RunloreError)
