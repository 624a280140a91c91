"""A bundle: one file with events, proofs and a signed checkpoint, which anyone can check offline.

A zip file: `bundle.json` (struct Bundle), `checkpoint.txt`, `since-checkpoint.txt` when there is an older one,
`vkey.txt` (for comparison only: the key must come from elsewhere) and `report.html` for people.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from runlore.projector.audit.bundle_content import FORMAT, Bundle
from runlore.projector.audit.keys import Verifier
from runlore.projector.audit.prove import Prover, Signed
from runlore.projector.audit.report import html_report
from runlore.schemas.errors import CorruptLogError, NotFoundError
from runlore.store.audit.checkpoint import Checkpoint, read_checkpoint, signed_by
from runlore.store.audit.leaf import LeafCoder, stream_in
from runlore.store.audit.merkle import check_consistency

MAX_MEMBER_BYTES = 1 << 30
"""A larger member is refused: zip files unpack to anything."""

_MADE = (1980, 1, 1, 0, 0, 0)
"""Equal contents give equal files."""


class CheckedBundle(NamedTuple):
    """A bundle whose every proof holds."""

    bundle: Bundle
    checkpoint: Checkpoint
    since: Checkpoint | None
    verifier: Verifier
    """The key that signed the checkpoint."""


def write_bundle(
    path: Path,
    prover: Prover,
    project: str,
    about: Sequence[str],
    positions: Sequence[int],
    since: Signed | None = None,
) -> CheckedBundle:
    """Write the events at `positions`, which the newest checkpoint must cover.

    Raises NotFoundError, and CorruptLogError when a proof does not hold.
    """
    bundle = Bundle(
        format=FORMAT,
        epoch=prover.epoch,
        project=project,
        about=list(about),
        events=[prover.event(position) for position in positions],
        consistency=None if since is None else prover.consistency(since.checkpoint),
    )
    older = since.checkpoint if since else None
    checked = CheckedBundle(bundle, prover.newest.checkpoint, older, prover.newest.verifier)
    members = {
        "bundle.json": msgspec.json.format(msgspec.json.encode(bundle), indent=1).decode(),
        "checkpoint.txt": prover.newest.note,
        "vkey.txt": f"{prover.newest.verifier.vkey}\n",
        "report.html": html_report(bundle, checked.checkpoint, checked.since, checked.verifier),
    }
    if since is not None:
        members["since-checkpoint.txt"] = since.note
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, _MADE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
    return checked


def check_bundle(path: Path, trusted: Sequence[Verifier]) -> CheckedBundle:
    """Check everything a bundle proves, with nothing but trusted public keys.

    Raises NotFoundError when there is no file, CorruptLogError at the first thing that does not hold.
    """
    bundle, note, since_note = _read(path)
    if bundle.format != FORMAT:
        raise CorruptLogError(f"{path} has format {bundle.format!r}, this version knows {FORMAT!r}")
    checkpoint, verifier = signed_by(note, trusted)
    coder = LeafCoder(bundle.epoch, stream_in(checkpoint.origin))
    if checkpoint.origin != coder.origin:
        raise CorruptLogError(f"the checkpoint is of {checkpoint.origin}, the events are of {coder.origin}")
    for event in bundle.events:
        if not event.holds(coder, checkpoint):
            raise CorruptLogError(f"event {event.position} is not in the log of the checkpoint")
    return CheckedBundle(bundle, checkpoint, _check_since(bundle, since_note, checkpoint, trusted), verifier)


def _check_since(
    bundle: Bundle, note: str | None, checkpoint: Checkpoint, trusted: Sequence[Verifier]
) -> Checkpoint | None:
    if (note is None) != (bundle.consistency is None):
        raise CorruptLogError("the bundle has an older checkpoint or a consistency proof, and not both")
    if note is None or bundle.consistency is None:
        return None
    since = read_checkpoint(note, trusted)
    roots = since.size, checkpoint.size, since.root, checkpoint.root
    if since.origin != checkpoint.origin or not check_consistency(*roots, bundle.consistency):
        raise CorruptLogError("the log of the checkpoint does not begin with that of the older checkpoint")
    return since


def _read(path: Path) -> tuple[Bundle, str, str | None]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            bundle = msgspec.json.decode(_member(archive, "bundle.json"), type=Bundle)
            note = _member(archive, "checkpoint.txt").decode()
            since = _member(archive, "since-checkpoint.txt").decode() if "since-checkpoint.txt" in names else None
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}") from None
    # zipfile raises NotImplementedError for an unknown compression method.
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, NotImplementedError, zlib.error) as error:
        raise CorruptLogError(f"{path} is not a bundle, or is damaged: {error}") from error
    return bundle, note, since


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_MEMBER_BYTES:
        raise ValueError(f"{name} is larger than {MAX_MEMBER_BYTES} bytes")
    return archive.read(name)
