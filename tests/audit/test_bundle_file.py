"""The file of a bundle: what is no bundle is refused before it costs anything."""

from __future__ import annotations

import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from runlore.projector.audit import bundle_file
from runlore.projector.audit.bundle_content import FORMAT, Bundle
from runlore.projector.audit.bundle_file import encode_bundle, read_members, write_members
from runlore.schemas import ArgumentError, CorruptLogError
from runlore.store.audit.proof import ProvenEvent

MEGABYTE = 1 << 20
EVENT = ProvenEvent(
    position=1, index=0, event_id="x", recorded_ns=1, subject="s", headers=b"", payload=b"p", proof=[bytes(32)]
)
BUNDLE = Bundle(format=FORMAT, epoch="e", project="p", about=["a"], events=[EVENT], consistency=None)
MEMBERS = {"bundle.json": encode_bundle(BUNDLE), "checkpoint.txt": "note", "vkey.txt": "key", "report.html": "page"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "bundle"
    write_members(path, MEMBERS)
    return path


def test_what_is_written_reads_back(path: Path) -> None:
    found = read_members(path)
    assert (found.bundle, found.note, found.since, found.vkey) == (BUNDLE, "note", None, "key")


def bomb(path: Path, name: str, megabytes: int) -> None:
    """A member of spaces, which packs to a thousandth."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in MEMBERS.items():
            if member != name:
                archive.writestr(member, content)
        with archive.open(name, "w", force_zip64=False) as member:
            for _ in range(megabytes):
                member.write(b" " * MEGABYTE)


def lie(path: Path, name: str) -> None:
    """Have both headers say that a member is small."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info, start = archive.getinfo(name), archive.start_dir
    content[info.header_offset + 22 : info.header_offset + 26] = struct.pack("<I", 100)
    at = content.index(name.encode(), start) - 46
    content[at + 24 : at + 28] = struct.pack("<I", 100)
    path.write_bytes(content)


@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.parametrize("name", ["bundle.json", "checkpoint.txt"])
def test_a_small_file_that_unpacks_to_much_is_refused_in_little_memory(path: Path, name: str, honest: bool) -> None:
    bomb(path, name, 40)
    if not honest:
        lie(path, name)
    assert path.stat().st_size < MEGABYTE
    tracemalloc.start()
    try:
        with pytest.raises(CorruptLogError, match=r"unpacks to more than|not a bundle"):
            read_members(path)
        assert tracemalloc.get_traced_memory()[1] < 32 * MEGABYTE
    finally:
        tracemalloc.stop()


def test_what_packs_very_well_is_written_so_that_it_can_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_file, "_UNASKED", 1000)
    large = msgspec.structs.replace(BUNDLE, events=[msgspec.structs.replace(EVENT, payload=bytes(100_000))])
    write_members(path, {**MEMBERS, "bundle.json": encode_bundle(large)})
    assert read_members(path).bundle == large


def test_a_bundle_that_could_not_be_read_is_not_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    with pytest.raises(ArgumentError, match="bundle fewer entities"):
        write_members(path, {**MEMBERS, "checkpoint.txt": "x" * 100_000})
    assert path.read_bytes() == before
    with pytest.raises(ArgumentError, match=r"texts of .* characters that nothing proves"):
        encode_bundle(msgspec.structs.replace(BUNDLE, left_out=["x"] * (bundle_file.MAX_TEXTS + 1)))


def add(path: Path, name: str, content: str = "x", method: int = zipfile.ZIP_DEFLATED) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a", method) as archive:
        warnings.simplefilter("ignore")  # zipfile warns about two members of one name
        archive.writestr(name, content)


def flagged(path: Path) -> None:
    """Mark the first member as encrypted."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    content[6] |= 1
    content[start + 8] |= 1
    path.write_bytes(content)


def without_bundle(path: Path, method: int) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("bundle.json", MEMBERS["bundle.json"])
        archive.writestr("checkpoint.txt", "note")


def spelled(path: Path, before: str, after: str) -> None:
    write_members(path, {**MEMBERS, "bundle.json": MEMBERS["bundle.json"].replace(before, after)})


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a member twice": (lambda path: add(path, "bundle.json", MEMBERS["bundle.json"]), "two members bundle.json"),
    "a member that no bundle has": (lambda path: add(path, "approval.txt"), "which no bundle has"),
    "a folder": (lambda path: add(path, "bundle.json/"), "which no bundle has"),
    "another path": (lambda path: add(path, "../bundle.json"), "which no bundle has"),
    "many members": (lambda path: [add(path, f"m{number}") for number in range(4)], "8 members"),
    "another compression": (lambda path: without_bundle(path, zipfile.ZIP_BZIP2), "compressed in a way"),
    "encryption": (flagged, "is encrypted"),
    "something after it": (lambda path: path.write_bytes(path.read_bytes() + b"x"), "no zip directory"),
    "something before it": (lambda path: path.write_bytes(b"x" + path.read_bytes()), "before or after"),
    "another zip before it": (lambda path: path.write_bytes(path.read_bytes() * 2), "before or after"),
    "nothing": (lambda path: path.write_bytes(b""), "not a bundle"),
    "a key twice": (lambda path: spelled(path, '"epoch": "e"', '"epoch": "f", "epoch": "e"'), "a key comes twice"),
    "keys out of order": (lambda path: spelled(path, '"epoch": "e",\n "project": "p"', '"project": "p", "epoch": "e"'),
                          "out of order"),
    "a number spelled otherwise": (lambda path: spelled(path, '"position": 1,', '"position": 1e0,'), "not a bundle"),
    "a text spelled otherwise": (lambda path: spelled(path, '"e"', '"\\u0065"'), "not spelled"),
    "padding bits": (lambda path: spelled(path, '"cA=="', '"cB=="'), "not spelled"),
    "an unknown field": (lambda path: spelled(path, '"epoch"', '"more": 1, "epoch"'), "unknown field"),
    "too many texts": (lambda path: spelled(path, '"a"', ", ".join(['"a"'] * 20_001)), "that nothing proves"),
    "no list": (lambda path: spelled(path, '"about"', '"about": {}, "x"'), "not a bundle"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_bundle_is_refused_and_the_reason_is_said(path: Path, kind: str) -> None:
    make, reason = FILES[kind]
    make(path)
    with pytest.raises(CorruptLogError, match=reason):
        read_members(path)


def test_spaces_do_not_matter(path: Path) -> None:
    write_members(path, {**MEMBERS, "bundle.json": msgspec.json.encode(BUNDLE).decode()})
    assert read_members(path).bundle == BUNDLE
