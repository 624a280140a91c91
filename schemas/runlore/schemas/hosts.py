"""Names under which a web page may be asked for: exact, as a browser writes them in the Host header."""

from __future__ import annotations

import ipaddress
import re

_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
MAX_NAME = 253
"""Characters of a name in the DNS."""


def parse_hosts(text: str) -> tuple[str, ...]:
    """The names of a list with commas or blanks between them, each once. Raises ValueError."""
    return tuple(dict.fromkeys(parse_host(name) for name in re.split(r"[\s,]+", text) if name))


def parse_host(text: str) -> str:
    """A name or address, perhaps with a port, in lower case.

    Raises ValueError for anything else: patterns, which would let in names that nobody listed, and parts of an
    address that no Host header has.
    """
    name, port = _parted(text.lower())
    if (port is not None and not _is_port(port)) or not (_is_address(name) or _is_name(name)):
        raise ValueError(
            f"{text[:80]!r} is not a name that a Host header has: write runlore.example.org, runlore.example.org:8443, "
            "192.0.2.7 or [2001:db8::7]:8443, without https://, path or *, and other letters than a-z as xn--..."
        )
    return text.lower()


def has_port(host: str) -> bool:
    """Return whether a name that was parsed says a port."""
    return _parted(host)[1] is not None


def _parted(text: str) -> tuple[str, str | None]:
    name, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text, None
    return name, port


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) < 65536


def _is_address(name: str) -> bool:
    if not (name.startswith("[") and name.endswith("]")):
        return False  # an IPv4 address is a name as any other here
    try:
        ipaddress.IPv6Address(name[1:-1])
    except ValueError:
        return False
    return "%" not in name


def _is_name(name: str) -> bool:
    return len(name) <= MAX_NAME and all(_LABEL.fullmatch(label) for label in name.split("."))
