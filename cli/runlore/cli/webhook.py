"""Changes as HTTP requests: signed, tried again until they are taken, in order.

Requests follow the Standard Webhooks specification (github.com/standard-webhooks/standard-webhooks): `webhook-id` is
the same at each try, `webhook-timestamp` is in seconds, and `webhook-signature` is ``v1,`` and the base64 of
HMAC-SHA256 over ``<id>.<timestamp>.<body>``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import random
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from runlore.cli.reaction import change_line
from runlore.query import Change
from runlore.query.records import change_record
from runlore.schemas.errors import SettingsError
from runlore.schemas.settings import require_address

SECONDS = 10.0
"""For connecting, and for each answer."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds between two tries; they double."""
MAX_TEXT = 3_000
"""Characters of the sentence for chats, which refuse longer ones."""
_LATER = frozenset((408, 425, 429))
"""Statuses below 500 that ask to try again."""
_PREFIX = "whsec_"


class Webhook(NamedTuple):
    """Where changes go."""

    url: str
    secret: bytes | None = None
    chat: bool = False
    """Send only a sentence, as `text`: what Slack, Mattermost and other chats take."""

    @property
    def shown(self) -> str:
        """The address without what may be secret in it: a chat's path is its password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}/…"


def read_webhook(url: str, secret_file: Path | None, chat: bool) -> Webhook:
    """The webhook of an address, or of a file that holds it (``@FILE``). Raises SettingsError."""
    if url.startswith("@"):
        url = _line_of(Path(url[1:]), "the address of the webhook")
    if urlsplit(url).scheme not in ("http", "https"):
        raise SettingsError("--webhook is an address such as https://host/path, or @FILE that holds one")
    try:
        require_address(url)
    except ValueError as error:
        raise SettingsError(f"--webhook: {error}") from None
    return Webhook(url, None if secret_file is None else _key(_line_of(secret_file, "the secret of the webhook")), chat)


def _line_of(path: Path, what: str) -> str:
    try:
        text = path.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{what} cannot be read from {path}: {error}") from error
    if not text or "\n" in text:
        raise SettingsError(f"{path} must hold {what}, on one line")
    return text


def _key(secret: str) -> bytes:
    """The key of a secret: ``whsec_`` and base64, or any text of 16 characters or more."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error as error:
            raise SettingsError(f"the secret of the webhook is no base64 after {_PREFIX}") from error
    if len(secret) < 16:
        raise SettingsError("the secret of the webhook has fewer than 16 characters: `openssl rand -hex 32` makes one")
    return secret.encode()


def body_of(change: Change, chat: bool) -> bytes:
    """The body of a request: the change as docs/json.md has it and a sentence, or the sentence alone."""
    sentence = change_line(change).strip()[:MAX_TEXT]
    if chat:
        return msgspec.json.encode({"text": sentence})
    return msgspec.json.encode({"type": "metadata.changed", "text": sentence, "data": change_record(change)})


def identifier(change: Change) -> str:
    """The same for each try of a change, and for no other change: a receiver knows by it what it has already."""
    whole = f"{change.project}\0{change.position}\0{change.reference}\0{change.scope}\0{change.entry.path}"
    return f"{change.position}.{hashlib.sha256(whole.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"


def headers_of(webhook: Webhook, name: str, now: int, body: bytes) -> dict[str, str]:
    """The headers of one try."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "runlore",
        "webhook-id": name,
        "webhook-timestamp": str(now),
    }
    if webhook.secret is not None:
        signed = hmac.digest(webhook.secret, f"{name}.{now}.".encode() + body, "sha256")
        headers["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
    return headers


class Refused(NamedTuple):
    """Why a try failed."""

    reason: str
    final: bool
    """The receiver will not take it, however often it is sent."""
    wait: float = 0.0
    """Seconds that it asks to wait."""


def deliver(webhook: Webhook, change: Change, pause: Callable[[float], bool], tell: Callable[[str], None]) -> bool:
    """Send a change until it is taken; whether it was. False, too, where it is refused for good or `pause` is stopped.

    `pause` waits and says whether to stop; `tell` is given each new reason for which it is not taken.
    """
    body, name = body_of(change, webhook.chat), identifier(change)
    wait, told = FIRST_PAUSE, ""
    while (refused := _try(webhook, name, body)) is not None:
        if refused.reason != told:
            told = refused.reason
            tell(f"{webhook.shown} {refused.reason}{'' if refused.final else ': it is tried again'}")
        if refused.final or pause(max(refused.wait, wait * random.uniform(0.5, 1))):  # noqa: S311 -- no secret
            return False
        wait = min(LONGEST_PAUSE, wait * 2)
    return True


def _try(webhook: Webhook, name: str, body: bytes) -> Refused | None:
    parts = urlsplit(webhook.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=SECONDS)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", path, body, headers_of(webhook, name, int(time.time()), body))
        answer = connection.getresponse()
        answer.read(65_536)
    except ssl.SSLCertVerificationError as error:
        return Refused(f"has a certificate that is not trusted ({error.verify_message})", final=False)
    except (OSError, http.client.HTTPException) as error:
        return Refused(f"does not answer ({error or type(error).__name__})", final=False)
    finally:
        connection.close()
    if answer.status < 300:
        return None
    final = answer.status < 500 and answer.status not in _LATER
    return Refused(f"answers {answer.status} {answer.reason}", final, _seconds(answer.getheader("Retry-After")))


def _seconds(text: str | None) -> float:
    """A Retry-After in seconds; a date is not read."""
    return min(float(text), LONGEST_PAUSE) if text is not None and text.isascii() and text.isdecimal() else 0.0
