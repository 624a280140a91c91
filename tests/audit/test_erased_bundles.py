"""Bundles with redacted events: each comes with the signed erasure, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace

from runlore.projector.audit.erased import require_erasures
from runlore.projector.audit.key_history import TrustedRange
from runlore.projector.audit.keys import Verifier, load_or_make_signer
from runlore.schemas import CorruptLogError
from runlore.schemas.subjects import SIGNING_SUBJECT
from runlore.store.audit.erasure import ErasedEvent, Erasure
from runlore.store.audit.leaf import origin_of
from runlore.store.audit.proof import ProvenEvent

LOGGED = sha256(b"logged").digest()


def proven(position: int, payload: bytes, subject: str = "runlore.default.model.m") -> ProvenEvent:
    return ProvenEvent(
        position=position, index=position - 1, event_id=None, recorded_ns=1, subject=subject, headers=b"",
        payload=payload, proof=[],
    )  # fmt: skip


@pytest.fixture
def bundle(tmp_path: Path) -> tuple[list[ProvenEvent], Verifier]:
    """A redacted event, another one, the erasure of the first, and a late copy of it."""
    signer = load_or_make_signer(tmp_path / "log.key", origin_of("e"))
    erased = ErasedEvent(1, LOGGED, sha256(b"redacted").digest(), (("k",),))
    note = Erasure("left", "ada", (erased,)).signed(signer)
    redacted = replace(proven(1, b"redacted"), logged_hash=LOGGED, erasure=3)
    events = [redacted, proven(2, b"x"), proven(3, note.encode(), SIGNING_SUBJECT), replace(redacted, position=4)]
    return events, signer.verifier


def test_redacted_events_with_their_erasure_are_accepted(bundle: tuple[list[ProvenEvent], Verifier]) -> None:
    events, key = bundle
    require_erasures(events, [TrustedRange(key)])


@pytest.mark.parametrize(
    "forge",
    [
        lambda one, two, erasure, late: [one, two, late],
        lambda one, two, erasure, late: [replace(one, payload=b"other"), two, erasure],
        lambda one, two, erasure, late: [replace(one, erasure=2), two, erasure],
        lambda one, two, erasure, late: [replace(one, erasure=None), two, erasure],
        lambda one, two, erasure, late: [replace(one, logged_hash=None), two, erasure],
        lambda one, two, erasure, late: [replace(one, logged_hash=bytes(32)), two, erasure],
        lambda one, two, erasure, late: [replace(one, position=2), erasure],
        lambda one, two, erasure, late: [one, replace(erasure, subject="runlore.default.model.m")],
        lambda one, two, erasure, late: [one, replace(erasure, logged_hash=bytes(32), erasure=3)],
        lambda one, two, erasure, late: [erasure, replace(late, payload=b"other")],
    ],
)
def test_a_redacted_event_that_no_erasure_explains_is_refused(
    bundle: tuple[list[ProvenEvent], Verifier], forge: Callable[..., list[ProvenEvent]]
) -> None:
    events, key = bundle
    with pytest.raises(CorruptLogError, match="not as it was logged"):
        require_erasures(forge(*events), [TrustedRange(key)])


def test_an_erasure_that_no_trusted_key_signed_is_refused(
    bundle: tuple[list[ProvenEvent], Verifier], tmp_path: Path
) -> None:
    other = load_or_make_signer(tmp_path / "other.key", origin_of("e")).verifier
    with pytest.raises(CorruptLogError, match="no trusted key has signed the erasure 3"):
        require_erasures(bundle[0], [TrustedRange(other)])
