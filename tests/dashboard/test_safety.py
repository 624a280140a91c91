"""Who may look, and that what was logged stays text."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from runlore.cli.app import app
from runlore.dashboard import create_app
from runlore.dashboard.safety import check_binding
from runlore.dashboard.serving import allowed_hosts
from runlore.query import Client
from runlore.query.spreadsheet import inert
from runlore.schemas.errors import QueryTimeoutError, SettingsError
from runlore.schemas.hosts import parse_hosts
from runlore.schemas.settings import read_settings, settings_environment
from runlore.schemas.visible import visible
from runlore.store.sqlite import sqlite
from tests.dashboard.conftest import web_over
from tests.dashboard.demo_log import FORMULA, SCRIPT
from tests.events import LogBuilder
from tests.query.views import client_of

HOSTILE = ("/", "/list?kind=model", "/list?kind=artifact", "/trail", "/quarantine", "/search?q=script", "/compare?ref=artifact:../../admin@1&ref=artifact:../../admin@2")  # fmt: skip


def hostile_reference(web: TestClient) -> str:
    rows = web.get("/api/v1/entities?kind=model").json()["entities"]
    return next(row["reference"] for row in rows if "script" in row["reference"])


def test_every_answer_has_the_headers_that_bind_a_browser(web: TestClient) -> None:
    for path in ("/", "/nothing", "/static/base.css", "/api/v1/status", "/?as_of=x"):
        headers = web.get(path).headers
        policy = headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_pages_hold_no_inline_script_or_style(web: TestClient, hostile: TestClient) -> None:
    for client, path in [(web, "/"), (web, "/entity?ref=model:churn@2"), *((hostile, path) for path in HOSTILE)]:
        page = client.get(path).text
        assert "<style" not in page
        assert " style=" not in page
        assert all(" src=" in part.split(">", 1)[0] for part in page.split("<script")[1:])


@pytest.mark.parametrize("host", ["evil.example", "testserver:81", "", "testserver.evil.example", "localhost"])
def test_only_exact_host_names_are_answered(web: TestClient, host: str) -> None:
    assert web.get("/", headers={"Host": host}).status_code == 421
    assert web.get("/livez", headers={"Host": host}).status_code == 421


def test_a_refusal_of_a_name_says_which_setting_to_set_and_repeats_nothing(web: TestClient) -> None:
    answer = web.get("/", headers={"Host": "<b>evil.example"})
    assert answer.status_code == 421
    assert "RUNLORE_DASHBOARD_HOSTS" in answer.text
    assert "--allow-host" in answer.text
    assert "evil" not in answer.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("runlore.example.test", 200),
        ("RUNLORE.example.TEST", 200),
        ("runlore.example.test:8080", 200),
        ("runlore.example.test:8443", 421),
        ("runlore.example.test:", 421),
        ("runlore.example.test.", 421),
        ("runlore.example.test.evil.example", 421),
        ("evil.runlore.example.test", 421),
        ("runlore.example.test@evil.example", 421),
        ("ported.example.test:8443", 200),
        ("ported.example.test", 421),
        ("ported.example.test:8080", 421),
        ("[2001:db8::7]:8443", 200),
        ("[2001:db8::7]", 421),
        ("127.0.0.1:8080", 200),
        ("127.0.0.1", 421),
    ],
)
def test_the_names_of_a_proxy_are_answered_exactly(demo: Client, host: str, status: int) -> None:
    names = parse_hosts("runlore.example.test, ported.example.test:8443 [2001:db8::7]:8443")
    with TestClient(create_app(demo, allowed_hosts("127.0.0.1", 8080, names))) as web:
        assert web.get("/livez", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    "name",
    [
        "*",
        "*.example.test",
        "https://runlore.example.test",
        "runlore.example.test/",
        "runlore.example.test/page",
        "user@example.test",
        "example.test:",
        "example.test:0",
        "example.test:65536",
        "example.test:http",
        "example..test",
        "example.test.",
        ".example.test",
        "-a.example.test",
        "2001:db8::7",
        "[2001:db8::7",
        "[fe80::1%eth0]",
        "[example.test]",
        "bücher.example.test",
        "a" * 64 + ".example.test",
        ".".join(["a" * 60] * 5),
        "?",
    ],
)
def test_what_is_no_exact_name_is_refused_before_anything_listens(name: str) -> None:
    with pytest.raises(SettingsError, match=r"RUNLORE_DASHBOARD_HOSTS.*a name"):
        read_settings({"RUNLORE_DASHBOARD_HOSTS": f"fine.example.test {name}"})
    asked = CliRunner().invoke(app, ["dashboard", "--allow-host", name])
    assert asked.exit_code == 2
    assert "a name" in asked.output


def test_the_setting_reaches_a_child_as_it_was_read() -> None:
    settings = read_settings({"RUNLORE_DASHBOARD_HOSTS": " b.example.test,A.example.test:8443,,b.example.test "})
    assert settings.dashboard_hosts == ("b.example.test", "a.example.test:8443")
    assert read_settings(settings_environment(settings)) == settings
    assert read_settings(settings_environment(read_settings({}))) == read_settings({})


@pytest.mark.parametrize(
    ("headers", "secure"),
    [
        ({}, False),
        ({"X-Forwarded-Proto": "http"}, False),
        ({"X-Forwarded-Proto": "https"}, True),
        ({"X-Forwarded-Proto": "HTTPS, http"}, True),
        ({"X-Forwarded-Proto": "http, https"}, False),
    ],
)
def test_behind_a_proxy_with_tls_the_cookie_is_for_tls_alone(
    demo: Client, headers: dict[str, str], secure: bool
) -> None:
    with web_over(demo, "s3cret") as web:
        cookie = web.post("/login", data={"token": "s3cret"}, headers=headers).headers["set-cookie"]
    assert ("; secure" in cookie.lower()) is secure


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_reading_is_possible(web: TestClient, method: str) -> None:
    for path in ("/", "/list", "/api/v1/status", "/login"):
        assert web.request(method, path).status_code in (405, 404)


def test_an_address_open_to_others_needs_a_token() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        check_binding(host, None)
    for host in ("0.0.0.0", "192.0.2.7", "::", "example.test"):
        with pytest.raises(SettingsError, match="TOKEN"):
            check_binding(host, None)
        check_binding(host, "secret")
    assert allowed_hosts("127.0.0.1", 8080, ()) == {"127.0.0.1:8080", "localhost:8080", "[::1]:8080"}


def test_with_a_token_nothing_is_shown_without_it(demo: Client) -> None:
    with web_over(demo, "s3cret") as web:
        asked = web.get("/entity?ref=model:churn@2")
        assert asked.status_code == 303
        assert asked.headers["location"] == "/login?next=%2Fentity%3Fref%3Dmodel%3Achurn%402"
        assert web.get("/api/v1/status").status_code == 401
        assert web.get("/live").status_code == 401
        assert web.get("/metrics").status_code == 401
        assert web.get("/livez").status_code == 200
        assert web.get("/api/v1/status", headers={"Authorization": "Bearer s3cret"}).status_code == 200
        assert web.get("/api/v1/status", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert web.post("/login", data={"token": "wrong"}).status_code == 403
        done = web.post("/login?next=/trail", data={"token": "s3cret"})
        assert done.headers["location"] == "/trail"
        cookie = done.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert "s3cret" not in cookie
        assert web.get("/trail").status_code == 200


@pytest.mark.parametrize("others", ['prefs={"a":1}', "a=b c", "path=/x", "a[b]=c", "foo", 'json=["a"]'])
def test_odd_cookies_of_other_servers_of_the_host_log_nobody_out(demo: Client, others: str) -> None:
    with web_over(demo, token="s3cret") as web:
        ticket = web.post("/login", data={"token": "s3cret"}).headers["set-cookie"].partition(";")[0]
        web.cookies.clear()
        for cookies in (f"{others}; {ticket}", f"{ticket}; {others}"):
            assert web.get("/", headers={"Cookie": cookies}).status_code == 200
        assert web.get("/", headers={"Cookie": others}).status_code == 303


def test_a_slash_too_many_leads_nowhere_rather_than_to_another_scheme_or_port(web: TestClient) -> None:
    assert web.get("/entity/?ref=model:churn@1", headers={"X-Forwarded-Proto": "https"}).status_code == 404


def test_a_failure_of_ours_is_a_page_without_details_and_a_traceback_in_the_log(
    web: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("runlore.query.page.counts.count_kinds", fail)
    for path in ("/?as_of=2", "/api/v1/status?as_of=2"):
        answer = web.get(path)
        assert answer.status_code == 500
        assert "secret" not in answer.text
    assert "the secret detail" in caplog.text


def fail(*_: object) -> None:
    raise ZeroDivisionError("the secret detail")


def test_the_api_says_in_json_that_there_is_no_such_address(web: TestClient) -> None:
    answer = web.get("/api/v1/nothing")
    assert (answer.status_code, "openapi" in answer.json()["error"]) == (404, True)


def test_large_quarantined_events_do_not_hold_a_page_up(tmp_path: Path) -> None:
    numbers = msgspec.msgpack.encode([*range(100)] * 9000)

    def write(log: LogBuilder) -> None:
        for _ in range(30):
            log.add_raw(numbers, None)

    with web_over(client_of(tmp_path, write)) as web:
        began = time.process_time()
        answer = web.get("/quarantine")
        assert (answer.status_code, answer.text.count("could not be decoded") >= 30) == (200, True)
        assert time.process_time() - began < 10  # of CPU


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_login_leads_to_no_other_place(demo: Client, target: str) -> None:
    with web_over(demo, "s3cret") as web:
        assert web.post("/login", params={"next": target}, data={"token": "s3cret"}).headers["location"] == "/"


def test_hostile_metadata_stays_text(hostile: TestClient) -> None:
    reference = hostile_reference(hostile)
    for path in (*HOSTILE, "/entity", "/trail", "/lineage", "/history"):
        params = {} if path in HOSTILE else {"ref": reference, "path": SCRIPT}
        page = hostile.get(path, params=params or None)
        assert page.status_code == 200
        assert SCRIPT not in page.text
        assert "onerror=alert(1)>" not in page.text
        assert 'href="javascript' not in page.text.lower()
        assert 'href="data' not in page.text.lower()
        assert "\u202e" not in page.text
        assert "\x07" not in page.text
        assert ">49<" not in page.text


def test_large_texts_are_cut(hostile: TestClient) -> None:
    page = hostile.get("/entity", params={"ref": hostile_reference(hostile)})
    assert len(page.content) < 100_000
    assert "880,000 more characters" in page.text


def test_csv_holds_no_formula(hostile: TestClient) -> None:
    text = hostile.get("/compare.csv", params={"ref": [hostile_reference(hostile), "artifact:../../admin@2"]}).text
    csv.field_size_limit(2_000_000)
    rows = list(csv.reader(io.StringIO(text)))
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "\t"))]
    assert ["formula", "'" + FORMULA, ""] in rows


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", " =1", "\ufeff=1", "\r=1"])
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(text: str) -> None:
    assert inert(text) == "'" + visible(text, lines=True)
    assert inert("plain - text") == "plain - text"


def test_a_read_that_takes_too_long_is_ended(demo: Client) -> None:
    slow = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(QueryTimeoutError), demo.scope.reader.within(0.2):
        demo.scope.reader.rows(slow)
    assert demo.position > 0  # the connection goes on


def read_for_ever(client: Client) -> None:
    while True:
        client.scope.reader.one("SELECT 1")


def test_many_short_reads_are_ended_as_well(demo: Client) -> None:
    with pytest.raises(QueryTimeoutError, match=r"longer than 0\.2 s"), demo.scope.reader.within(0.2):
        read_for_ever(demo)
    assert demo.position > 0


@pytest.mark.parametrize("path", ["/", "/list?kind=model", "/entity?ref=model:churn@2", "/trail", "/search?q=acme"])
def test_a_page_without_time_says_so_and_holds_no_reader(demo: Client, path: str) -> None:
    assert demo.scope.reader.data is not None
    writer = sqlite.connect(demo.scope.reader.data.current_view(), isolation_level=None, timeout=0.1)
    # A frame in the write-ahead log: without one, it can be truncated whoever reads.
    writer.execute("PRAGMA user_version = 1")
    with web_over(demo, seconds=0.0) as web:
        answer = web.get(path)
        assert answer.status_code == 503
        assert "the answer took longer than 0 s: ask for less" in answer.text
        told = web.get("/api/v1/entities?kind=model")
        assert (told.status_code, told.json()["error"]) == (503, "the answer took longer than 0 s: ask for less")
        with demo.scope.reader.read():
            demo.scope.reader.one("SELECT position FROM view_state")
            assert writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 1  # a reader that is held shows
        assert writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        writer.close()
    with web_over(demo) as web:
        assert web.get(path).status_code == 200


def test_without_a_view_the_page_says_what_to_start(tmp_path: Path) -> None:
    with web_over(Client(tmp_path)) as web:
        assert web.get("/").status_code == 404
        assert "runlore up" in web.get("/").text
        assert web.get("/readyz").status_code == 503
