"""Addresses of pages: each keeps the project and the moment that the visitor looks at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlencode

ParamValue = str | int | None | Iterable[str]
Pairs = list[tuple[str, str]]

SAFE_SCHEMES = ("http://", "https://", "gs://", "s3://", "ftp://", "sftp://", "hdfs://", "mailto:")
"""Schemes of a `Uri` that become links. All others, javascript: and data: above all, stay text."""


def address(path: str, kept: Mapping[str, str], params: Mapping[str, ParamValue]) -> str:
    """Return a path with the kept and the given parameters; None leaves one out, also a kept one."""
    pairs: Pairs = [(name, value) for name, value in kept.items() if name not in params]
    for name, value in params.items():
        pairs += _pairs(name, value)
    return path + ("?" + urlencode(pairs, quote_via=quote, safe=":@/,") if pairs else "")


def _pairs(name: str, value: ParamValue) -> Pairs:
    if value is None or value == "":
        return []
    if isinstance(value, (str, int)):
        return [(name, str(value))]
    return [(name, item) for item in value]


def linkable(uri: str) -> bool:
    """Return True for a resource that may become a link: a safe scheme, and no character that a browser drops."""
    return uri.lower().startswith(SAFE_SCHEMES) and uri.isprintable() and " " not in uri
