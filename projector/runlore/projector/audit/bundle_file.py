"""The file of a bundle: a zip of at most seven members, read with a bound on everything it unpacks to.

Whoever checks a bundle did not make it. So each member is there once and is known, nothing is unpacked beyond its
limit, whatever the zip's own headers say, and bundle.json has one spelling only: no key twice, no unknown field.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from runlore.projector.audit.bundle_content import Bundle
from runlore.projector.audit.timestamps import MAX_STAMP_BYTES
from runlore.schemas.errors import ArgumentError, CorruptLogError, NotFoundError
from runlore.store.audit.checkpoint import MAX_NOTE_BYTES

MAX_JSON_BYTES = 256 << 20
"""Of bundle.json: it and what is decoded from it are in memory at once."""
_UNASKED, _RATIO = 16 << 20, 20
"""Bytes that any member may unpack to within its limit, and how many more for each byte that it has in the file."""
MAX_TEXTS, MAX_TEXT_CHARACTERS = 20_000, 4 << 20
"""Of all that a bundle says without proof."""
MAX_COMPARED_BYTES = 8 << 20
"""Of a bundle.json whose report is made for comparison: a larger one takes seconds."""

_LIMITS = {
    "bundle.json": MAX_JSON_BYTES,
    "checkpoint.txt": MAX_NOTE_BYTES,
    "since-checkpoint.txt": MAX_NOTE_BYTES,
    "stamped-checkpoint.txt": MAX_NOTE_BYTES,
    "timestamp.tsr": MAX_STAMP_BYTES,
    "vkey.txt": 4096,
    "report.html": 4 * MAX_JSON_BYTES,
}
"""Bytes that each member may unpack to."""

_END = struct.Struct("<4sHHHHIIH")
_END_MARK, _ZIP64_MARK, _ZIP64_BYTES = b"PK\5\6", b"PK\6\7", 20
_ENCRYPTED = 1
_CHUNK = 1 << 20
_MADE = (1980, 1, 1, 0, 0, 0)
"""Equal contents give equal files."""


class BundleFile(NamedTuple):
    """The members of a bundle's file. Nothing in it is checked."""

    bundle: Bundle
    note: str
    since: str | None
    stamped: str | None
    """The checkpoint that has a time stamp."""
    stamp: bytes | None
    vkey: str | None
    report: bytes | None
    """SHA-256 of report.html."""
    compares: bool
    """Whether it is small enough that its report is made for comparison."""


def encode_bundle(bundle: Bundle) -> str:
    """The text of bundle.json. Raises ArgumentError where `read_members` would refuse its texts."""
    if problem := _too_long(bundle):
        raise ArgumentError(f"the bundle would have {problem}: bundle fewer entities, or less of what made them")
    return msgspec.json.format(msgspec.json.encode(bundle), indent=1).decode()


def write_members(path: Path, members: Mapping[str, str | bytes]) -> None:
    """Write a bundle's file. Raises ArgumentError where a member is larger than `read_members` allows."""
    encoded = {name: one.encode() if isinstance(one, str) else one for name, one in members.items()}
    for name, content in encoded.items():
        if len(content) > _LIMITS[name]:
            raise ArgumentError(
                f"{name} would have {len(content):,} bytes; at most {_LIMITS[name]:,} are read: bundle fewer entities, "
                "or less of what made them (--depth)"
            )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in encoded.items():
            info = zipfile.ZipInfo(name, _MADE)
            fits = len(content) <= _UNASKED or len(content) <= _allowed(name, len(zlib.compress(content)))
            info.compress_type = zipfile.ZIP_DEFLATED if fits else zipfile.ZIP_STORED
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)


def read_members(path: Path) -> BundleFile:
    """Read a bundle's file. Raises NotFoundError, CorruptLogError when it is no bundle."""
    try:
        _require_plain_end(path)
        with zipfile.ZipFile(path) as archive:
            return _members(archive)
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}") from None
    # zipfile raises NotImplementedError for an unknown compression method.
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, NotImplementedError, zlib.error, struct.error) as error:
        raise CorruptLogError(f"{path} is not a bundle, or is damaged: {error}") from error


def _require_plain_end(path: Path) -> None:
    """The file ends with the directory of a handful of members: a million of them would fill the memory."""
    with path.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(max(0, length - _END.size - _ZIP64_BYTES))
        tail = file.read()
    mark, *_, count, size, start, _ = _END.unpack(tail[-_END.size :])
    if mark != _END_MARK or tail.startswith(_ZIP64_MARK) or start + size + _END.size != length:
        raise ValueError("there is no zip directory at its end, or something before or after the zip")
    if count > len(_LIMITS):
        raise ValueError(f"{count:,} members; a bundle has at most {len(_LIMITS)}")


def _members(archive: zipfile.ZipFile) -> BundleFile:
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.filename not in _LIMITS:
            raise ValueError(f"a member {info.filename[:80]!r}, which no bundle has")
        if info.filename in found:
            raise ValueError(f"two members {info.filename}")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & _ENCRYPTED:
            raise ValueError(f"{info.filename} is encrypted or compressed in a way that no bundle uses")
        found[info.filename] = info

    def text(name: str) -> str | None:
        return _content(archive, found[name]).decode() if name in found else None

    report = sha256()
    for chunk in _chunks(archive, found["report.html"]) if "report.html" in found else ():
        report.update(chunk)
    content = _content(archive, found["bundle.json"])
    return BundleFile(
        _decoded(content),
        _content(archive, found["checkpoint.txt"]).decode(),
        text("since-checkpoint.txt"),
        text("stamped-checkpoint.txt"),
        _content(archive, found["timestamp.tsr"]) if "timestamp.tsr" in found else None,
        text("vkey.txt"),
        report.digest() if "report.html" in found else None,
        len(content) <= MAX_COMPARED_BYTES,
    )


def _decoded(content: bytes) -> Bundle:
    bundle = msgspec.json.decode(content, type=Bundle)
    if msgspec.json.format(content, indent=-1) != msgspec.json.encode(bundle):
        raise ValueError("bundle.json is not spelled as bundles are: a key comes twice, or is out of order")
    if problem := _too_long(bundle):
        raise ValueError(problem)
    return bundle


def _too_long(bundle: Bundle) -> str | None:
    """Why the texts that nothing proves are too long, if they are."""
    refused = [one.why for one in bundle.rejected]
    texts = [bundle.epoch, bundle.project, *bundle.about, *bundle.related, *bundle.left_out, *refused]
    if len(texts) <= MAX_TEXTS and sum(map(len, texts)) <= MAX_TEXT_CHARACTERS:
        return None
    return f"{len(texts):,} texts of {sum(map(len, texts)):,} characters that nothing proves"


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    return b"".join(_chunks(archive, info))


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """A member in pieces: `read()` without a number unpacks all there is before it looks at the member's size."""
    limit, total = _allowed(info.filename, info.compress_size), 0
    with archive.open(info) as member:
        while chunk := member.read(_CHUNK):
            total += len(chunk)
            if total > limit:
                raise ValueError(f"{info.filename} unpacks to more than {limit:,} bytes")
            yield chunk


def _allowed(name: str, packed: int) -> int:
    """Bytes that a member of this size in the file may unpack to."""
    return min(_LIMITS[name], _UNASKED + _RATIO * packed)
