"""Tokens of the page: links that sign in, sessions that end, tokens for some projects, and who tries many."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.routing import Route
from starlette.testclient import TestClient

from runlore.cli.app import app
from runlore.dashboard import create_app, rpc, throttle
from runlore.dashboard.access import Access
from runlore.dashboard.api.routes import ENDPOINTS
from runlore.dashboard.live import LiveFeed, News
from runlore.dashboard.pages import PAGES
from runlore.dashboard.throttle import LoginThrottle
from runlore.dashboard.tiles import TILES
from runlore.query import Client
from runlore.schemas.settings import read_settings
from runlore.store.folder import DataDir
from runlore.store.page_tokens import (
    create_page_token,
    folder_token,
    page_link,
    page_tokens,
    revoke_page_token,
)
from tests.dashboard.conftest import web_over
from tests.events import LogBuilder
from tests.query.views import client_of

TOKEN = "s3cret"
ALPHA, BETA = "alphaword", "betaword"


def two_projects(log: LogBuilder) -> None:
    """The same in two projects, each with a word that the other does not have."""
    for project, word in (("alpha", ALPHA), ("beta", BETA)):
        log.project = project
        log.log(f"model:{word}@1", {word: word, "number": 1.0})
        log.log(f"model:{word}@2", {word: f"{word}secret", "number": 2.0})
        log.log(f"run:{word}", {"note": word})
        log.log(f"step:{word}/train", {"note": word}, run=word, step="train")
        log.add_raw(word.encode(), None)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return client_of(tmp_path_factory.mktemp("both") / "data", two_projects, archived=True)


def data_of(client: Client) -> DataDir:
    assert client.scope.reader.data is not None
    return client.scope.reader.data


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# -- links and sessions ----------------------------------------------------------------------------------


def test_a_link_with_the_token_signs_in_and_leads_to_the_address_without_it(demo: Client) -> None:
    with web_over(demo, TOKEN) as web:
        followed = web.get("/entity?ref=model:churn@2&token=s3cret&path=a%20b")
        assert (followed.status_code, followed.headers["location"]) == (303, "/entity?ref=model:churn%402&path=a+b")
        assert web.get(followed.headers["location"]).status_code == 200
        assert TOKEN not in followed.headers["set-cookie"]
        web.cookies.clear()
        assert web.get("/?token=wrong").status_code == 403
        assert web.get("/api/v1/status?token=s3cret").status_code == 401
        assert web.get("//evil.example/?token=s3cret").headers.get("location", "/") == "/"


def test_a_session_outlives_the_page_and_ends_for_good_when_its_visitor_signs_out(demo: Client) -> None:
    with web_over(demo, TOKEN) as web:
        web.get("/?token=s3cret")
        assert "Sign out" in web.get("/").text
        cookies = dict(web.cookies)
    with web_over(demo, TOKEN) as again:
        again.cookies.update(cookies)
        assert again.get("/").status_code == 200
        assert again.get("/logout").status_code == 405
        assert again.post("/logout", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        left = again.post("/logout", headers={"Sec-Fetch-Site": "same-origin"})
        assert (left.status_code, left.headers["location"]) == (303, "/login")
        assert "Max-Age=0" in left.headers["set-cookie"]
    for _ in range(2):  # a copy of the cookie opens nothing, also after a restart
        with web_over(demo, TOKEN) as later:
            later.cookies.update(cookies)
            assert later.get("/").status_code == 303
    with web_over(demo, "another") as changed:
        changed.get("/?token=another")
        assert changed.get("/").status_code == 200


@pytest.mark.parametrize("change", [lambda c: c[:-1] + ("0" if c[-1] != "0" else "1"), lambda c: "all.99999999999.x.y"])
def test_a_cookie_that_this_page_did_not_sign_opens_nothing(demo: Client, change: object) -> None:
    assert callable(change)
    with web_over(demo, TOKEN) as web:
        web.get("/?token=s3cret")
        [(name, value)] = web.cookies.items()
        web.cookies.clear()
        for cookie in (change(value), value.replace("all", "0a0a0a0a"), value.partition(".")[0], "a.b", "....", "é"):
            assert web.get("/", headers={"Cookie": f"{name}={cookie}".encode()}).status_code == 303


def test_pages_of_two_folders_on_one_host_do_not_end_each_others_sessions(demo: Client, both: Client) -> None:
    with web_over(demo, TOKEN) as one, web_over(both, TOKEN) as other:
        names = [web.get("/?token=s3cret").headers["set-cookie"].partition("=")[0] for web in (one, other)]
    assert len(set(names)) == 2


def test_without_a_token_nobody_signs_in_or_out(web: TestClient) -> None:
    assert "Sign out" not in web.get("/").text
    for path in ("/login", "/logout"):
        assert web.get(path).status_code == 404


# -- tokens for projects ---------------------------------------------------------------------------------


def test_a_token_for_a_project_expires_and_is_revoked_with_its_sessions(
    both: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_of(both)
    token, made = create_page_token(data, ["alpha"], 3600)
    assert token not in data.page_tokens.read_text()
    with web_over(both, TOKEN) as web:
        assert web.get("/api/v1/status", headers=bearer(token)).status_code == 200
        web.get(f"/?token={token}")
        assert web.get("/").status_code == 200
        with monkeypatch.context() as later:
            later.setattr("time.time", lambda: made.created + 3601)
            assert web.get("/").status_code == 303
            assert web.get("/api/v1/status", headers=bearer(token)).status_code == 401
        assert web.get("/").status_code == 200
        revoke_page_token(data, made.id)
        assert web.get("/").status_code == 303
        assert web.get("/api/v1/status", headers=bearer(token)).status_code == 401


def every_route(word: str, project: str, first: int) -> list[str]:
    """Addresses that ask every page and endpoint for a project's data, by its name, its entities and its events."""
    of = f"project={project}&"
    ref, other, event = f"ref=model:{word}@1", f"ref=model:{word}@2", f"position={first}"
    routes = {
        "/": [""],
        "/list": ["kind=model", f"kind=model&where={word}='{word}'"],
        "/entity": [ref, f"ref=run:{word}", f"ref=step:{word}/train"],
        "/copy": [ref],
        "/history": [f"{ref}&path={word}"],
        "/lineage": [ref],
        "/compare": [f"{ref}&{other}"],
        "/compare.csv": [f"{ref}&{other}"],
        "/compare.json": [f"{ref}&{other}"],
        "/trail": ["", ref],
        "/event": [event, f"position={first + 4}"],
        "/payload": [event, f"position={first + 4}"],
        "/audit": [""],
        "/checkpoint.txt": [""],
        "/quarantine": [""],
        "/search": [f"q={word}"],
        "/api/v1/status": [""],
        "/api/v1/moment": [""],
        "/api/v1/entities": ["kind=model"],
        "/api/v1/entity": [ref],
        "/api/v1/blame": [ref],
        "/api/v1/history": [f"{ref}&path={word}"],
        "/api/v1/series": [f"{ref}&path=number", f"{ref}&path=number&points=10"],
        "/api/v1/diff": [f"{ref}&other=model:{word}@2", f"{ref}&since=1"],
        "/api/v1/compare": [f"{ref}&{other}"],
        "/api/v1/trail": ["", ref],
        "/api/v1/lineage": [ref],
        "/api/v1/search": [f"q={word}"],
        "/api/v1/event": [event, f"position={first + 4}"],
        "/api/v1/audit": [""],
        "/api/v1/quarantine": [""],
        "/api/v1/openapi.json": [""],
    }
    assert set(routes) == {*PAGES, *(f"/api/v1{endpoint.path}" for endpoint in ENDPOINTS), "/api/v1/openapi.json"}
    return [f"{path}?{own}{query}" for path, queries in routes.items() for query in queries for own in ("", of)]


@pytest.mark.parametrize("session", [False, True])
def test_no_route_shows_a_project_that_the_token_does_not(both: Client, session: bool) -> None:
    token, _ = create_page_token(data_of(both), ["alpha"], 3600)
    with web_over(both, TOKEN) as web:
        headers = {} if session else bearer(token)
        if session:
            web.get(f"/?token={token}")
        for address in every_route(BETA, "beta", 6):
            answer = web.get(address, headers=headers)
            assert BETA in address or BETA not in answer.text, address  # what was asked for may be repeated
            assert f"{BETA}secret" not in answer.text, address
            if "openapi" not in address and any(part in address for part in ("project=beta", "ref=", "position=")):
                assert answer.status_code == 404, address
        for address in every_route(ALPHA, "alpha", 1):
            answer = web.get(address, headers=headers)
            assert answer.status_code == 200, address
            assert BETA not in answer.text, address
        [kept] = web.get("/api/v1/quarantine", headers=headers).json()["events"]
        assert kept["position"] == 5
        assert web.get("/metrics", headers=headers).status_code == 403


def test_the_routes_that_were_walked_are_all_there_are(both: Client) -> None:
    application = create_app(both, {"testserver"}, TOKEN)
    known = {address.partition("?")[0] for address in every_route(ALPHA, "alpha", 1)}
    paths = {route.path for route in application.routes if isinstance(route, Route)}
    open_to_all = {"/livez", "/readyz"}
    bundle = {path for path in paths if path.startswith("/static/")}
    own = {"/live", "/metrics", rpc.ROUTE, *TILES}  # each has a test of its own
    assert paths - known - open_to_all - bundle == own


def test_the_full_token_sees_all_projects(both: Client) -> None:
    with web_over(both, TOKEN) as web:
        assert web.get("/api/v1/status?project=beta", headers=bearer(TOKEN)).json()["projects"] == ["alpha", "beta"]
        for address in every_route(BETA, "beta", 6):
            if "project=" in address:
                assert web.get(address, headers=bearer(TOKEN)).status_code == 200, address
        assert web.get("/metrics", headers=bearer(TOKEN)).status_code == 200


def test_live_news_name_only_what_a_visitor_sees() -> None:
    client = Client.over(Client("unused", project="alpha").scope)
    feed = LiveFeed(client)
    news = News(9, 0, ["model:m@1"], ["beta", "gamma"], all=False)
    assert feed._seen_by(Access(), news) == news
    assert feed._seen_by(Access(("alpha",)), news) == news._replace(projects=[])
    assert feed._seen_by(Access(("beta",)), news) == news._replace(references=[], projects=["beta"])
    assert feed._seen_by(Access(("delta",)), news) is None
    lag = News(9, 4, [], [], all=False)
    assert feed._seen_by(Access(("delta",)), lag) == lag


# -- who tries many --------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_attempts_of_one_address_wait_longer_and_longer_and_are_refused_when_they_pile_up() -> None:
    clock = Clock()
    login = LoginThrottle(clock)
    waits = []
    for _ in range(8):
        wait = login.wait("192.0.2.7")
        assert wait is not None
        waits.append(wait)
        clock.now += wait
        login.failed("192.0.2.7")
    assert waits == [0, 0, 0, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert login.wait("192.0.2.8") == 0
    piled_up = [login.wait("192.0.2.7") for _ in range(5)]
    assert piled_up[0] == 8.0
    assert piled_up[2:] == [None, None, None]
    login.succeeded("192.0.2.7")
    assert login.wait("192.0.2.7") == 0


def test_an_attack_from_many_addresses_is_slowed_down_and_needs_little_memory() -> None:
    clock = Clock()
    login = LoginThrottle(clock)
    for number in range(3000):
        login.failed(f"198.51.{number // 250}.{number % 250}")
    assert len(login._addresses) == throttle.MAX_ADDRESSES
    waits = [login.wait(f"203.0.113.{number}") for number in range(200)]
    assert waits[:3] == [0, pytest.approx(0.1), pytest.approx(0.2)]
    assert waits[-1] is None
    clock.now += throttle.FORGET_SECONDS + 1
    assert login.wait("203.0.113.1") == 0


def test_the_addresses_of_one_network_of_ipv6_count_as_one() -> None:
    login = LoginThrottle(Clock())
    for number in range(5):
        login.failed(f"2001:db8::{number}")
    assert login.wait("2001:db8::ffff")
    assert login.wait("2001:db8:0:1::1") == 0


def test_wrong_tokens_are_refused_after_a_while_and_long_ones_that_are_right_are_not(
    both: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "LONGEST_WAIT", 0.0)
    token, _ = create_page_token(data_of(both), ["alpha"], 3600)
    with web_over(both, TOKEN) as web:
        web.get("/?token=s3cret")
        signed_in = dict(web.cookies)
        web.cookies.clear()
        tried = [
            web.post("/login", data={"token": "wrong"}).status_code,
            web.get("/?token=wrong").status_code,
            web.get("/api/v1/status", headers=bearer("wrong")).status_code,
        ]
        assert tried == [403, 403, 401]
        refused = web.post("/login", data={"token": TOKEN})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
        assert web.get("/api/v1/status", headers=bearer(token)).status_code == 200
        web.cookies.update(signed_in)
        assert web.get("/").status_code == 200


# -- the command line ------------------------------------------------------------------------------------


def run(command: str, folder: Path) -> str:
    done = CliRunner().invoke(app, [*command.split(), "--data-dir", str(folder)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_tokens_are_made_listed_and_revoked_on_the_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    token = run("dashboard token create --project alpha --project beta --expires 7d", folder).strip()
    [kept] = page_tokens(DataDir(folder))
    assert kept.projects == ("alpha", "beta")
    assert kept.expires == pytest.approx(kept.created + 7 * 24 * 3600)
    assert DataDir(folder).page_tokens.stat().st_mode & 0o777 == 0o600
    listed = run("dashboard token list", folder)
    assert kept.id in listed
    assert token not in listed
    run("dashboard token create --project gamma --expires never", folder)
    assert "expires never" in run("dashboard token list", folder)
    run(f"dashboard token revoke {kept.id}", folder)
    assert [one.projects for one in page_tokens(DataDir(folder))] == [("gamma",)]
    missing = CliRunner().invoke(app, ["dashboard", "token", "revoke", kept.id, "--data-dir", str(folder)])
    assert (missing.exit_code, "token list" in missing.output) == (3, True)
    for wrong in ("--expires 7", "--expires 0d", "--project="):
        done = CliRunner().invoke(app, f"dashboard token create --project a {wrong} --data-dir {folder}".split())
        assert done.exit_code == 2, wrong


def test_the_folders_token_is_made_once_and_is_in_the_link_unless_somebody_chose_one(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    made = folder_token(data)
    assert folder_token(data) == made
    assert data.dashboard_token.stat().st_mode & 0o777 == 0o600
    settings = read_settings(data_dir=data.root)
    assert page_link("http://127.0.0.1:1", settings) == f"http://127.0.0.1:1/?token={made}"
    for other in (
        read_settings(data_dir=data.root, dashboard_token="own"),
        read_settings(data_dir=data.root, dashboard_no_token=True),
    ):
        assert page_link("http://127.0.0.1:1", other) == "http://127.0.0.1:1"
