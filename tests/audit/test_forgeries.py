"""The forger's suite for bundles: each changed part is refused, or named as not proved.

Rows, trees and checkpoints of log.db: test_verify, test_verify_signed, test_checkpoints. What cannot be caught is in
the list of limits of docs/audit.md.
"""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from runlore.cli.app import app
from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.bundle import check_bundle, write_bundle
from runlore.projector.audit.bundle_content import CheckedBundle
from runlore.projector.audit.keys import Verifier, load_or_make_signer, load_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.prove import Prover, Signed
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.audit.trail import refusals
from runlore.schemas import CorruptLogError
from runlore.store.audit.checkpoint import signed_by
from runlore.store.audit.leaf import origin_of
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from tests.audit.bundles import TextChange, content_of, in_json, rewritten
from tests.audit.logs import message
from tests.audit.stories import APPROVAL, COPY, FORGED, LAST, REFUSED
from tests.events import EPOCH

ABOUT = ["model:churn@1", "model:churn"]
POSITIONS = (1, APPROVAL, FORGED, REFUSED)


@pytest.fixture(scope="module")
def grown(story: DataDir, tmp_path_factory: pytest.TempPathFactory) -> DataDir:
    """The story, and three leaves and a checkpoint after it."""
    return copied(story, tmp_path_factory.mktemp("grown") / "data", *LATER)


LATER = tuple(message(LAST + number) for number in (1, 2, 3))


def copied(data: DataDir, root: Path, *later: Received) -> DataDir:
    """A copy of a folder, with further messages under a checkpoint of their own."""
    shutil.copytree(data.root, root)
    copy = DataDir(root)
    archive = Archive.open(copy.log, EPOCH)
    archive.append(list(later))
    CheckpointWriter(archive, copy.checkpoint_key).sign()
    archive.close()
    return copy


def key_of(data: DataDir) -> Verifier:
    return load_signer(data.checkpoint_key, origin_of(EPOCH)).verifier


def bundled(data: DataDir, path: Path, *positions: int, since: int = 0) -> Path:
    """A bundle; `since`: leaves of the older checkpoint that it continues."""
    with contextlib.closing(open_audited(data.log)) as log:
        prover, older = Prover(log, [key_of(data)]), None
        if since:
            note = log.execute("SELECT note FROM checkpoints WHERE size = ?", (since,)).fetchone()[0].decode()
            older = Signed(note, *signed_by(note, [key_of(data)]))
        write_bundle(
            path, prover, "default", ABOUT, positions, older,
            refused=refusals(data.current_view(), positions), related=["model:churn@1 made by run:r1"],
            left_out=["much"],
        )  # fmt: skip
    return path


@pytest.fixture
def path(grown: DataDir, tmp_path: Path) -> Path:
    return bundled(grown, tmp_path / "bundle", *POSITIONS, since=LAST)


def check(data: DataDir, path: Path, *others: Path) -> CheckedBundle:
    return check_bundle(path, [key_of(data)], [check_bundle(other, [key_of(data)]) for other in others])


def parts(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value of a JSON document, and to each collection in it; of a list, to the first two."""
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for name, part in items:
        yield from parts(part, (*at, name))


def changes(value: Any) -> Iterator[Any]:
    """Other values of a JSON type, and none at all."""
    match value:
        case int():
            yield from (value + 1, value - 1, -value, 0, 2**63, 2**70, str(value))
        case str():
            yield from (f"{value}A", value[1:], "AAAA", "", value.swapcase(), f" {value}", "\u202e", 1)
        case list():
            yield from (value[1:], value[:-1], [*value, *value], value[::-1], [], {})
        case dict():
            yield from ({**value, "more": 1}, dict(reversed(value.items())), {}, [])
            yield from ({name: part for name, part in value.items() if name != gone} for gone in value)
        case _:
            yield from (0, "")
    yield None


UNPROVED = ("about", "related", "left_out", "rejected")
"""Fields that nothing proves."""


def test_every_part_of_bundle_json_is_refused_when_changed_or_called_not_proved(grown: DataDir, path: Path) -> None:
    rewritten(path, in_json(lambda content: None))
    file, whole, honest = path.read_bytes(), content_of(path), check(grown, path)
    passed: dict[str, int] = {}
    for way in parts(whole):
        for change in changes(reach(whole, way)):
            if json.dumps(change) == json.dumps(reach(whole, way)):
                continue
            path.write_bytes(file)
            rewritten(path, in_json(lambda content, way=way, change=change: put(content, way, change)))
            try:
                found = check(grown, path)
            except CorruptLogError:
                continue
            passed[way[0]] = passed.get(way[0], 0) + 1
            if way == ("events",):  # one is left out: a limit that docs/audit.md names
                assert len(found.bundle.events) < len(honest.bundle.events)
                assert found.notes
                continue
            assert way[0] in UNPROVED, (way, change)
            assert found.bundle.events == honest.bundle.events
            # What the rules show stays so, whatever the bundle says of it.
            assert found.verdicts[:-1] == honest.verdicts[:-1]
            assert found.notes or way[0] == "rejected"  # the report does not fit any more
    assert set(passed) == {*UNPROVED, "events"}


def reach(content: Any, way: tuple[Any, ...]) -> Any:
    for name in way:
        content = content[name]
    return content


def put(content: Any, way: tuple[Any, ...], value: Any) -> None:
    reach(content, way[:-1])[way[-1]] = copy.deepcopy(value)


def test_a_changed_byte_anywhere_is_refused_or_changes_nothing(grown: DataDir, path: Path) -> None:
    honest, whole = check(grown, path), path.read_bytes()
    refused = 0
    for at in range(0, len(whole), 61):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            found = check(grown, path)
        except CorruptLogError:
            refused += 1
            continue
        assert found[:5] == honest[:5], at  # dates and versions in the zip's directory: nobody reads them
    assert refused > len(whole) / 61 * 0.8


def test_a_claim_that_an_event_was_rejected_is_refused_or_not_proved(grown: DataDir, path: Path) -> None:
    claim = {"position": APPROVAL, "stage": "decode", "why": "so I say"}
    for stage in ("decode", "conflict", "copy"):
        forged = {**claim, "stage": stage}
        rewritten(path, in_json(lambda content, forged=forged: content["rejected"].insert(0, forged)))
        with pytest.raises(CorruptLogError, match="by the rules it is not"):
            check(grown, path)
        rewritten(path, in_json(lambda content: content["rejected"].pop(0)))
    rewritten(path, in_json(lambda content: content["rejected"].insert(0, {**claim, "stage": "fold"})))
    [verdict] = [one for one in check(grown, path).verdicts if one.rejection and one.rejection.why == "so I say"]
    assert not verdict.proved
    assert "not proved" in verdict.label


FORGERIES: dict[str, tuple[dict[str, TextChange], str]] = {
    "a repeated event": (in_json(lambda content: content["events"].insert(1, content["events"][0])), "repeated"),
    "events out of order": (in_json(lambda content: content["events"].reverse()), "or moved"),
    "no events": (in_json(lambda content: (content.update(events=[]), content.pop("rejected"))), "no events"),
    "another project": (in_json(lambda content: content.update(project="other")), "the bundle says 'other'"),
    "an unknown field": (in_json(lambda content: content.update(note="approved")), "unknown field"),
    "an unknown field of an event": (in_json(lambda content: content["events"][0].update(note="x")), "unknown field"),
    "a field that is there twice": (
        {"bundle.json": lambda text: text.replace('"project":', '"project": "other", "project":', 1)}, "a key comes twice",
    ),
    "a payload that is there twice": (
        {"bundle.json": lambda text: text.replace('"payload":', '"payload": "AAAA", "payload":', 1)}, "a key comes twice",
    ),
    "a rejected event that is missing": (
        in_json(lambda content: content["rejected"].append({"position": 999, "stage": "fold", "why": "x"})),
        "is not in the bundle",
    ),
    "a rule that there is not": (in_json(lambda content: content["rejected"][0].update(stage="mood")), "not a bundle"),
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_it_is_refused_and_the_reason_is_said(grown: DataDir, path: Path, forgery: str) -> None:
    change, reason = FORGERIES[forgery]
    rewritten(path, change)
    with pytest.raises(CorruptLogError, match=reason):
        check(grown, path)


@pytest.mark.parametrize("member", ["checkpoint.txt", "since-checkpoint.txt"])
def test_each_line_of_a_checkpoint_is_refused_when_changed(grown: DataDir, path: Path, member: str) -> None:
    file = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        lines = archive.read(member).decode().split("\n")
    for at, line in enumerate(lines):
        for change in (f"{line}1", line[1:] if line else "x", line.swapcase() if line else "y"):
            if change == line:
                continue
            path.write_bytes(file)
            rewritten(
                path, {member: lambda text, at=at, change=change: "\n".join([*lines[:at], change, *lines[at + 1 :]])}
            )
            with pytest.raises(CorruptLogError):
                check(grown, path)


def test_a_checkpoint_that_another_key_has_signed_is_refused(grown: DataDir, path: Path, tmp_path: Path) -> None:
    """A stolen key would pass: a limit that docs/audit.md names."""
    other = load_or_make_signer(tmp_path / "other.key", origin_of(EPOCH))
    rewritten(path, {"checkpoint.txt": lambda text: signed_by(text, [key_of(grown)])[0].signed(other)})
    with pytest.raises(CorruptLogError, match="no trusted key"):
        check(grown, path)


def test_a_changed_report_and_key_are_named(grown: DataDir, path: Path) -> None:
    assert check(grown, path).notes == []
    rewritten(path, {"report.html": lambda text: text.replace("false", "true"), "vkey.txt": lambda text: f"x{text}"})
    assert len(check(grown, path).notes) == 2
    done = CliRunner().invoke(app, ["audit", "check", str(path), "--key", key_of(grown).vkey])
    assert (done.exit_code, done.stderr.count("NOTE: ")) == (0, 2)


def test_a_second_copy_in_a_bundle_of_its_own_is_named_beside_the_bundle_of_the_first(
    grown: DataDir, tmp_path: Path
) -> None:
    """Split in two, each bundle says nothing wrong; together they do."""
    first = bundled(grown, tmp_path / "first", APPROVAL)
    for at, stage in ((FORGED, "conflict"), (COPY, "copy")):
        second = bundled(grown, tmp_path / f"second-{at}", at)
        rewritten(second, in_json(lambda content: (content["events"].pop(0), content.pop("rejected", None))))
        alone = check(grown, second)
        assert [one.rejection for one in alone.verdicts] == [None]  # a limit that docs/audit.md names
        together = check(grown, second, first)
        assert [one.rejection.stage for one in together.verdicts if one.rejection] == [stage]
        assert together.undeclared == [at]
        command = ["audit", "check", str(second), "--with", str(first), "--key", key_of(grown).vkey, "--json"]
        done = CliRunner().invoke(app, command)
        assert (done.exit_code, json.loads(done.stdout)["events"][0]["rejected"]["first"]) == (4, APPROVAL)


def test_two_histories_under_one_key_are_refused_beside_each_other(grown: DataDir, tmp_path: Path) -> None:
    """A split view: each bundle alone holds."""
    forks = [copied(grown, tmp_path / text, message(LAST + 4, text.encode())) for text in ("one", "two")]
    one, two = (bundled(fork, fork.root / "bundle", APPROVAL) for fork in forks)
    assert check(grown, one).notes == check(grown, two).notes == []
    with pytest.raises(CorruptLogError, match="two histories"):
        check(grown, one, two)


def test_bundles_of_two_checkpoints_say_what_is_not_shown(grown: DataDir, tmp_path: Path) -> None:
    """They are of one history when they have a checkpoint in common, the older one of a bundle included."""
    first = bundled(grown, tmp_path / "first", APPROVAL)
    later = copied(grown, tmp_path / "later", message(LAST + 4))
    alone, linked = (bundled(later, tmp_path / f"{since}", APPROVAL, since=since) for since in (0, LAST + 3))
    assert check(grown, first, linked).notes == []
    [note] = check(grown, first, alone).notes
    assert "nothing shows that the checkpoints of 24 and 25 leaves are of one history" in note


def test_a_bundle_of_the_former_format_is_judged_too(grown: DataDir, tmp_path: Path) -> None:
    path = bundled(grown, tmp_path / "bundle", APPROVAL, FORGED)
    fields = ("rejected", "related", "left_out")
    rewritten(path, in_json(lambda content: [content.pop(name, None) for name in fields]))
    rewritten(path, in_json(lambda content: content.update(format="runlore bundle 1")))
    assert check(grown, path).undeclared == [FORGED]
    with zipfile.ZipFile(path) as archive:
        assert "runlore bundle 1" in archive.read("bundle.json").decode()
