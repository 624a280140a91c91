"""Access control in front of every page: Host names, token, methods, and security headers."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from urllib.parse import parse_qs, quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runlore.dashboard.rendering import render_bare
from runlore.schemas.errors import SettingsError

COOKIE = "runlore_dashboard"
MAX_LOGIN_BYTES = 4096
OPEN_PATHS = ("/livez", "/readyz", "/login", "/static/")
"""Paths served without a token: they reveal no data."""

UNAUTHORIZED = "missing or wrong token: send Authorization: Bearer TOKEN"
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
            f"RUNLORE_DASHBOARD_HOST={host} is not loopback: also set RUNLORE_DASHBOARD_TOKEN (or --token-file)"
        )


class Guard:
    """ASGI middleware. `hosts`: exact names in the Host header, with their ports; empty: the port is not known yet."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], token: str | None) -> None:
        self._app, self._hosts, self._token = app, hosts, token
        # The cookie holds a hash: it cannot be used as the token elsewhere.
        self._ticket = None if token is None else hashlib.sha256(b"runlore dashboard\0" + token.encode()).hexdigest()

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
        path = request.url.path
        if path == "/login" and self._ticket is not None:
            return await self._login(request)
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("read-only: use GET or HEAD", 405, {"Allow": "GET, HEAD"})
        if self._ticket is None or path.startswith(OPEN_PATHS) or self._knows(request):
            return None
        if path.startswith(("/api/", "/live", "/metrics")):
            return PlainTextResponse(UNAUTHORIZED, 401, {"WWW-Authenticate": "Bearer"})
        wanted = path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)

    def _knows(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._right(given.strip()):
            return True
        # Parsed leniently: other servers of this host share its cookies, and some are malformed.
        return _same(request.cookies.get(COOKIE, ""), self._ticket or "")

    def _right(self, token: str) -> bool:
        return _same(token, self._token or "")

    async def _login(self, request: Request) -> Response:
        target = _own_path(request.query_params.get("next", "/"))
        if request.method in ("GET", "HEAD"):
            return render_bare("login.html", next=target, wrong=False)
        if request.method != "POST":
            return PlainTextResponse("use GET, HEAD or POST", 405, {"Allow": "GET, HEAD, POST"})
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_LOGIN_BYTES:
                return PlainTextResponse("request too large", 413)
        fields = parse_qs(body.decode("latin-1"), encoding="utf-8", errors="replace")
        if not self._right(fields.get("token", [""])[0]):
            return render_bare("login.html", 403, next=target, wrong=True)
        answer = RedirectResponse(target, 303)
        assert self._ticket is not None
        answer.set_cookie(COOKIE, self._ticket, httponly=True, samesite="strict", secure=_over_tls(request), path="/")
        return answer


def _over_tls(request: Request) -> bool:
    """Return True for a visitor who uses TLS, according to this server or to a proxy.

    The proxy's header needs no trust: it only makes the sender's own cookie stricter.
    """
    protocol = request.headers.get("x-forwarded-proto", "").partition(",")[0]  # by the proxy next to the visitor
    return "https" in (request.url.scheme, protocol.strip().lower())


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())


def _own_path(target: str) -> str:
    """Return a path of this server; anything that could lead elsewhere becomes the home page."""
    inside = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if inside else "/"
