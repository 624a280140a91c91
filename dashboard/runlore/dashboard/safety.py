"""Access control in front of every page: Host names, token, methods, and security headers."""

from __future__ import annotations

import hashlib
import ipaddress
from urllib.parse import parse_qs, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runlore.dashboard.access import Access, give_access
from runlore.dashboard.doorkeeper import Doorkeeper, TooManyAttemptsError
from runlore.dashboard.rendering import render_bare
from runlore.schemas.errors import SettingsError

MAX_LOGIN_BYTES = 4096
OPEN_PATHS = ("/livez", "/readyz", "/login", "/static/")
"""Paths served without a token: they reveal no data."""

QUESTIONS = "/rpc/"
"""Paths of questions, which are posted: they change nothing."""

PROGRAMS = ("/api/", "/live", "/metrics", "/checkpoint", "/tile/", QUESTIONS)
"""Paths that programs ask for: without a token they want a status, not the page where a person signs in."""

UNAUTHORIZED = "missing or wrong token: send Authorization: Bearer TOKEN"
TOO_MANY = "too many wrong tokens were tried: wait a little, then try again\n"
NOT_WHOLE = "this token shows some projects, and this address is about all of them\n"
UNKNOWN_NAME = (
    "Unknown Host header. If the name is yours (for example that of a reverse proxy), add it to"
    " RUNLORE_DASHBOARD_HOSTS or pass it with --allow-host, exactly as in the header.\n"
)
"""The text does not repeat the name, which the client chose."""

EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
"""The hash of an empty style element: plotly creates one and adds its rules by script, which needs no permission."""

HEADERS = {
    # Scripts and styles of this server only; nothing inline, nothing evaluated.
    "Content-Security-Policy": f"default-src 'none'; script-src 'self'; style-src 'self' {EMPTY_STYLE}; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Return True for an address that can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_binding(host: str, token: str | None) -> None:
    """Raise SettingsError for an address that is open to the network without a token."""
    if not is_loopback(host) and not token:
        raise SettingsError(
            f"RUNLORE_DASHBOARD_HOST={host} is not loopback, where the page needs a token: leave out --no-token "
            "(RUNLORE_DASHBOARD_NO_TOKEN)"
        )


class Guard:
    """ASGI middleware. `hosts`: exact names in the Host header, with their ports; empty: the port is not known yet."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], door: Doorkeeper | None, name: str = "") -> None:
        """`door`: None for a page that asks for no token. `name`: of the page, which tells its cookie from others'."""
        self._app, self._hosts, self._door = app, hosts, door
        # Browsers send a cookie to every port of a host: two pages must not end each other's sessions.
        self._cookie = f"runlore_{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = await self._refusal(Request(scope, receive))
        await (answer or self._app)(scope, receive, with_headers)

    async def _refusal(self, request: Request) -> Response | None:
        """Return the answer to a refused request, None to let it pass."""
        host = Headers(scope=request.scope).get("host", "")
        if host.lower() not in self._hosts:
            # DNS rebinding: another site whose name points at this address must not read the pages.
            return PlainTextResponse(UNKNOWN_NAME, 421)
        path, door = request.url.path, self._door
        if door is not None and path in ("/login", "/logout"):
            return await self._at_the_door(request, door, path)
        if request.method not in ("GET", "HEAD") and not (request.method == "POST" and path.startswith(QUESTIONS)):
            return PlainTextResponse("read-only: use GET or HEAD", 405, {"Allow": "GET, HEAD"})
        if door is None or path.startswith(OPEN_PATHS):
            give_access(request.scope, Access())
            return None
        try:
            return await self._unknown(request, door)
        except TooManyAttemptsError:
            return PlainTextResponse(TOO_MANY, 429, {"Retry-After": "10"})

    async def _unknown(self, request: Request, door: Doorkeeper) -> Response | None:
        """Return the answer to who may not come in, or not in here; None to let a request pass."""
        path, program = request.url.path, request.url.path.startswith(PROGRAMS)
        if not program and "token" in request.query_params:
            return await self._follow_link(request, door)
        access = await self._access(request, door)
        if access is not None and path == "/metrics" and not access.whole:
            return PlainTextResponse(NOT_WHOLE, 403)
        if access is not None:
            give_access(request.scope, access)
            return None
        if program:
            return PlainTextResponse(UNAUTHORIZED, 401, {"WWW-Authenticate": "Bearer"})
        return RedirectResponse(f"/login?next={quote(_wanted(request), safe='')}", 303)

    async def _access(self, request: Request, door: Doorkeeper) -> Access | None:
        # Parsed leniently: other servers of this host share its cookies, and some are malformed.
        cookie = request.cookies.get(self._cookie, "")
        if cookie and (entry := door.entry_of_session(cookie)) is not None:
            return door.access(entry, cookie)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and (entry := await door.entry_of(given.strip(), _address(request))) is not None:
            return door.access(entry)
        return None

    async def _follow_link(self, request: Request, door: Doorkeeper) -> Response:
        """Sign in with the token of a link, and go on at the address without it, which may be kept and shown."""
        entry = await door.entry_of(request.query_params["token"], _address(request))
        target = _own_path(_wanted(request))
        if entry is None:
            return render_bare("login.html", 403, next=target, wrong=True)
        return self._signed_in(request, target, door.begin(entry))

    async def _at_the_door(self, request: Request, door: Doorkeeper, path: str) -> Response:
        target = _own_path(request.query_params.get("next", "/"))
        if path == "/login" and request.method in ("GET", "HEAD"):
            return render_bare("login.html", next=target, wrong=False)
        if request.method != "POST":
            allowed = "GET, HEAD, POST" if path == "/login" else "POST"
            return PlainTextResponse(f"use {allowed}", 405, {"Allow": allowed})
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return PlainTextResponse("sent by another site", 403)  # which would sign its visitor in as somebody else
        if path == "/logout":
            await door.end(request.cookies.get(self._cookie, ""))
            answer = RedirectResponse("/login", 303)
            answer.delete_cookie(self._cookie, path="/", httponly=True, samesite="strict", secure=_over_tls(request))
            return answer
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_LOGIN_BYTES:
                return PlainTextResponse("request too large", 413)
        fields = parse_qs(body.decode("latin-1"), encoding="utf-8", errors="replace")
        try:
            entry = await door.entry_of(fields.get("token", [""])[0], _address(request))
        except TooManyAttemptsError:
            return PlainTextResponse(TOO_MANY, 429, {"Retry-After": "10"})
        if entry is None:
            return render_bare("login.html", 403, next=target, wrong=True)
        return self._signed_in(request, target, door.begin(entry))

    def _signed_in(self, request: Request, target: str, cookie: str) -> Response:
        answer = RedirectResponse(target, 303)
        answer.set_cookie(
            self._cookie, cookie, httponly=True, samesite="strict", secure=_over_tls(request), path="/"
        )  # fmt: skip
        return answer


def _wanted(request: Request) -> str:
    """Return the address of a request, without a token."""
    if "token" not in request.query_params:
        return request.url.path + (f"?{request.url.query}" if request.url.query else "")
    kept = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "token"], safe=":")
    return request.url.path + (f"?{kept}" if kept else "")


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _over_tls(request: Request) -> bool:
    """Return True for a visitor who uses TLS, according to this server or to a proxy.

    The proxy's header needs no trust: it only makes the sender's own cookie stricter.
    """
    protocol = request.headers.get("x-forwarded-proto", "").partition(",")[0]  # by the proxy next to the visitor
    return "https" in (request.url.scheme, protocol.strip().lower())


def _own_path(target: str) -> str:
    """Return a path of this server; anything that could lead elsewhere becomes the home page."""
    inside = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if inside else "/"
