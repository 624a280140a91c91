"""Signing in: what the settings say about addresses, user and TLS, as nats-py's options. Reads files, no network.

Every way that NATS has: user and password or a token in RUNLORE_URL, a credentials file, an nkey, a client
certificate. Whatever is wrong with a file is said here, before a server is asked: nats-py would fail in the middle of
the handshake without a reason, or read a file that is no credentials file for ever.
"""

from __future__ import annotations

import importlib.util
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from runlore.schemas.errors import AccessDeniedError
from runlore.schemas.settings import SETTINGS, Settings

_SEED = re.compile(r"SU[A-Z2-7]{56}")
"""A user's seed: 32 bytes, two of prefix and a checksum in base 32, see the README of nats-io/nkeys."""
_SCHEMES = frozenset({"nats", "tls", "ws", "wss"})


class _User(NamedTuple):
    """Who an address of RUNLORE_URL names, decoded."""

    name: str
    password: str | None

    def options(self) -> dict[str, str]:
        if self.password is None:
            return {"token": self.name}
        return {"user": self.name, "password": self.password}


def addresses(url: str) -> list[str]:
    """The addresses of RUNLORE_URL, with nothing of a user in them."""
    return [_without_user(one) for one in _split(url)]


def sign_in_options(settings: Settings) -> dict[str, Any]:
    """Options of nats-py for a server at RUNLORE_URL. Raises AccessDeniedError that names the setting to mend."""
    assert settings.url is not None
    servers = addresses(settings.url)
    for one in servers:
        if (scheme := urlsplit(one).scheme) not in _SCHEMES:
            raise AccessDeniedError(
                f"RUNLORE_URL={one} is no address of a NATS server, such as nats://host:4222"
                + ("; the page answers readers alone, Client() among them" if scheme in ("http", "https") else "")
            )
    options: dict[str, Any] = {"servers": servers, **_user_options(settings)}
    tls = _tls(settings)
    if tls is not None:
        options["tls"] = tls
    return options


def _user_options(settings: Settings) -> dict[str, Any]:
    if settings.credentials and settings.nkey:
        raise AccessDeniedError("RUNLORE_CREDENTIALS and RUNLORE_NKEY are both set: a user signs in with one of them")
    if settings.credentials:
        _require_nkeys("credentials", settings.credentials)
        text = _text_of("credentials", settings.credentials)
        if "BEGIN NATS USER JWT" not in text or "BEGIN USER NKEY SEED" not in text:
            raise _unusable("credentials", settings.credentials, "it is not a credentials file of NATS")
        return {"user_credentials": settings.credentials}
    if settings.nkey:
        _require_nkeys("nkey", settings.nkey)
        found = _SEED.search(_text_of("nkey", settings.nkey))
        if found is None:
            raise _unusable("nkey", settings.nkey, "it holds no seed of a user (SU…)")
        return {"nkeys_seed_str": found[0]}
    users = {_user(one) for one in _split(settings.url or "")}
    if len(users) > 1:
        raise AccessDeniedError("the addresses in RUNLORE_URL name different users: they must name the same one")
    user = users.pop() if users else None
    return {} if user is None else user.options()


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """None where the settings say nothing: nats-py then trusts what the system trusts if the server wants TLS."""
    if settings.tls_cert is None and settings.tls_key is not None:
        raise AccessDeniedError("RUNLORE_TLS_KEY is set without RUNLORE_TLS_CERT: set both, or neither")
    if settings.tls_ca is None and settings.tls_cert is None:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("tls_ca", settings.tls_ca or "", _reason(error)) from error
    if settings.tls_cert is not None:
        try:
            context.load_cert_chain(settings.tls_cert, settings.tls_key, password=_no_password)
        except (OSError, ssl.SSLError, _EncryptedKeyError) as error:
            raise _unusable("tls_cert", settings.tls_cert, _reason(error)) from error
    return context


class _EncryptedKeyError(Exception):
    def __init__(self) -> None:
        super().__init__("its key is encrypted; Runlore cannot ask for a password")


def _no_password() -> str:
    raise _EncryptedKeyError  # else OpenSSL asks on the terminal


def _require_nkeys(setting: str, path: str) -> None:
    if importlib.util.find_spec("nkeys") is None:
        raise _unusable(setting, path, "signing needs another package: pip install 'runlore[credentials]'")


def _text_of(setting: str, path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(setting, path, _reason(error)) from error


def _unusable(setting: str, path: str, why: str) -> AccessDeniedError:
    return AccessDeniedError(f"{SETTINGS[setting].variable}={path} cannot be used: {why}")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _split(url: str) -> Iterator[str]:
    yield from (one.strip() for one in url.split(",") if one.strip())


def _user(url: str) -> _User | None:
    user, at, _ = urlsplit(url if "://" in url else f"nats://{url}").netloc.rpartition("@")
    if not at:
        return None
    name, colon, password = user.partition(":")
    return _User(unquote(name), unquote(password) if colon else None)


def _without_user(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
