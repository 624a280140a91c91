"""A bundle: one file with events, proofs and a signed checkpoint, which anyone can check offline.

A zip file: `bundle.json` (struct Bundle), `checkpoint.txt`, `since-checkpoint.txt` when there is an older one,
`stamped-checkpoint.txt` and `timestamp.tsr` when there is a time stamp, `vkey.txt` (for comparison only: the key must
come from elsewhere) and `report.html` for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import pairwise, product
from pathlib import Path

from runlore.projector.audit.bundle_checkpoints import check_since, check_stamped
from runlore.projector.audit.bundle_content import FORMAT, FORMER_FORMAT, Bundle, CheckedBundle, Rejected
from runlore.projector.audit.bundle_file import BundleFile, encode_bundle, read_members, write_members
from runlore.projector.audit.bundle_keys import key_changes, read_signed, require_one_lineage
from runlore.projector.audit.effect import Verdict, judge, shortened, stated_in
from runlore.projector.audit.erased import require_erasures
from runlore.projector.audit.key_history import TrustedRange, signs
from runlore.projector.audit.keys import Verifier
from runlore.projector.audit.prove import Prover, Signed
from runlore.projector.audit.report import html_report
from runlore.schemas.acceptance import Rejection
from runlore.schemas.errors import ArgumentError, CorruptLogError
from runlore.store.audit.actor_keys import actor_key_in
from runlore.store.audit.checkpoint import Checkpoint, read_unchecked
from runlore.store.audit.leaf import LeafCoder, speaks_for, stream_in
from runlore.store.audit.proof import ProvenEvent

MAX_EVENTS = 200_000
"""More do not fit into a bundle with their proofs; making these takes minutes."""


def write_bundle(
    path: Path,
    prover: Prover,
    project: str,
    about: Sequence[str],
    positions: Iterable[int],
    since: Signed | None = None,
    *,
    refused: Mapping[int, Rejection] | None = None,
    related: Sequence[str] = (),
    left_out: Sequence[str] = (),
) -> CheckedBundle:
    """Write the events at `positions`, which the newest checkpoint must cover, and the first copy of each of them.

    `refused`: those that the view's fold has put into quarantine. Raises NotFoundError, ArgumentError for too much or
    nothing at all, and CorruptLogError when a proof does not hold.
    """
    wanted = set(positions)
    if not 0 < len(wanted) <= MAX_EVENTS:
        raise ArgumentError(f"{len(wanted):,} events; a bundle has 1 to {MAX_EVENTS:,}: see --depth")
    events = prover.with_first_copies(wanted)
    verdicts = judge(events, refused or {}, prover.trusted)
    stamped = prover.stamped(events)
    pairs = zip(events, verdicts, strict=True)
    bundle = Bundle(
        format=FORMAT,
        epoch=prover.epoch,
        project=project,
        about=list(about),
        events=events,
        consistency=None if since is None else prover.consistency(since.checkpoint),
        rejected=[_declared(event, verdict.rejection) for event, verdict in pairs if verdict.rejection],
        related=list(related),
        left_out=list(left_out),
        keys=prover.key_statements(),
        stamped=None if stamped is None else prover.consistency(read_unchecked(stamped.note)[0]),
    )
    older = since.checkpoint if since else None
    checked = CheckedBundle(
        bundle, prover.newest.checkpoint, older, prover.newest.verifier, verdicts, [], key_changes(bundle)
    )
    members: dict[str, str | bytes] = {
        "bundle.json": encode_bundle(bundle),
        "checkpoint.txt": prover.newest.note,
        "vkey.txt": f"{prover.newest.verifier.vkey}\n",
        "report.html": html_report(checked),
    }
    if since is not None:
        members["since-checkpoint.txt"] = since.note
    if stamped is not None:
        members["stamped-checkpoint.txt"], members["timestamp.tsr"] = stamped.note, stamped.response
    write_members(path, members)
    return checked


def _declared(event: ProvenEvent, rejection: Rejection) -> Rejected:
    return Rejected(position=event.position, stage=rejection.stage, why=shortened(rejection.why))


def check_bundle(path: Path, trusted: Sequence[Verifier], others: Sequence[CheckedBundle] = ()) -> CheckedBundle:
    """Check everything a bundle proves, with nothing but trusted public keys, and judge which events took effect.

    `others`: bundles of the same log, whose events may be first copies of these. Raises NotFoundError when there is no
    file, CorruptLogError at the first thing that does not hold.
    """
    file = read_members(path)
    bundle = file.bundle
    if bundle.format not in (FORMAT, FORMER_FORMAT):
        raise CorruptLogError(f"{path} has format {bundle.format!r}, this version knows {FORMAT!r}")
    changes = key_changes(bundle)
    checkpoint, verifier, ranges = read_signed(file.note, trusted, changes)
    _check_proofs(bundle, checkpoint)
    require_erasures(bundle.events, ranges)
    _require_in_time(bundle, ranges)
    since = check_since(bundle, file.since, checkpoint, ranges)
    stamped = check_stamped(bundle, file, checkpoint, ranges)
    keys = [one.key for one in ranges]
    claims = {one.position: Rejection(one.stage, one.why) for one in bundle.rejected}
    further = [event for other in others for event in other.bundle.events]
    verdicts = judge(bundle.events, claims, keys, further)
    _check_claims(bundle, verdicts)
    _check_project(bundle, verdicts)
    checked = CheckedBundle(bundle, checkpoint, since, verifier, verdicts, [], changes, file.note, stamped)
    for other in others:
        checked.notes.extend(_compared(checked, other))
    checked.notes.extend(_not_believed(bundle, keys))
    checked.notes.extend(_unlike(file, checked))
    return checked


def _not_believed(bundle: Bundle, trusted: Sequence[Verifier]) -> Iterator[str]:
    """Statements about actors' keys that no trusted key has signed: they are in the log, and prove nobody."""
    for event in bundle.events:
        if actor_key_in(event.subject, event.payload) is not None and stated_in(event, trusted) is None:
            yield f"event {event.position:,}, about an actor's key, is signed by no trusted key: give its --key, too"


def _unlike(file: BundleFile, checked: CheckedBundle) -> Iterator[str]:
    """Members for people that do not fit what was checked."""
    if file.vkey is not None and file.vkey.strip() != checked.verifier.vkey:
        yield "vkey.txt is not the key that signed the checkpoint"
    if file.report is None:
        return
    if not file.compares:
        yield "report.html was not compared with the events, which are too many: --report makes a new one"
    elif sha256(html_report(checked).encode()).digest() != file.report:
        yield (
            "report.html is not the report of these events: it was changed, or another version made it; "
            "--report makes a new one"
        )


def _check_proofs(bundle: Bundle, checkpoint: Checkpoint) -> None:
    stream = stream_in(checkpoint.origin)
    coder = LeafCoder(bundle.epoch, stream)
    if not speaks_for(checkpoint.origin, bundle.epoch, stream):
        raise CorruptLogError(f"the checkpoint is of {checkpoint.origin}, the events are of {coder.origin}")
    if not bundle.events:
        raise CorruptLogError("the bundle has no events: it proves nothing")
    for before, event in pairwise(bundle.events):
        if event.position <= before.position:
            raise CorruptLogError(f"event {event.position} comes after event {before.position}: repeated, or moved")
    for event in (*bundle.events, *bundle.keys):
        if not event.holds(coder, checkpoint):
            raise CorruptLogError(f"event {event.position} is not in the log of the checkpoint")


def _require_in_time(bundle: Bundle, ranges: Sequence[TrustedRange]) -> None:
    """A key that gave way to another makes no more statements about actors: the log's owner makes none with it."""
    for event in bundle.events:
        if actor_key_in(event.subject, event.payload) is None:
            continue
        signers = [one for one in ranges if signs(one.key, event.payload.decode(errors="replace"))]
        if signers and not any(one.covers(event.index) for one in signers):
            raise CorruptLogError(
                f"event {event.position}, about an actor's key, is signed with {signers[0].key.vkey}, which did not "
                "sign this log then"
            )


def _compared(one: CheckedBundle, other: CheckedBundle) -> Iterator[str]:
    """Whether two bundles are of one history. Raises CorruptLogError when they are not, notes what is not shown."""
    require_one_lineage(one, other)
    if one.checkpoint.origin != other.checkpoint.origin:
        raise CorruptLogError(f"the bundles are of two logs: {one.checkpoint.origin}, {other.checkpoint.origin}")
    for mine, its in product(one.checkpoints, other.checkpoints):
        if mine.size == its.size and mine.root != its.root:
            raise CorruptLogError(
                f"the bundles are of two histories: their checkpoints of {mine.size:,} leaves have different roots, "
                "signed with one key"
            )
    if not set(one.checkpoints) & set(other.checkpoints):
        yield (
            f"nothing shows that the checkpoints of {one.checkpoint.size:,} and {other.checkpoint.size:,} leaves are "
            "of one history: bundle again, with --since-checkpoint"
        )


def _check_claims(bundle: Bundle, verdicts: Sequence[Verdict]) -> None:
    """Each event that is declared as rejected is there, and rejected by the rule that is named.

    Only a refusal by the fold, which depends on all earlier events, cannot be recomputed from the bundle.
    """
    found = {event.position: verdict for event, verdict in zip(bundle.events, verdicts, strict=True)}
    for before, one in pairwise(bundle.rejected):
        if one.position <= before.position:
            raise CorruptLogError(f"event {one.position} is declared as rejected twice, or out of order")
    for one in bundle.rejected:
        verdict = found.get(one.position)
        if verdict is None:
            raise CorruptLogError(f"event {one.position} is declared as rejected and is not in the bundle")
        if not verdict.proved and one.stage != "fold":
            raise CorruptLogError(
                f"event {one.position} is declared as rejected ({one.why}), and by the rules it is not"
            )


def _check_project(bundle: Bundle, verdicts: Sequence[Verdict]) -> None:
    """Events in effect are of the bundle's project; the first copy of a rejected one may be of any."""
    firsts = {verdict.first for verdict in verdicts}
    for event, verdict in zip(bundle.events, verdicts, strict=True):
        decoded = verdict.event
        accepted = verdict.rejection is None and event.position not in firsts
        if decoded is not None and accepted and decoded.project != bundle.project:
            raise CorruptLogError(
                f"event {event.position} is of project {decoded.project!r}, the bundle says {bundle.project!r}"
            )
