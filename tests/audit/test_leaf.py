"""The stored tree against an independent reading of docs/audit.md: leaf bytes by hand, the tree by pymerkle."""

from __future__ import annotations

import contextlib
from hashlib import sha256
from pathlib import Path

import pytest
from pymerkle import InmemoryTree

from runlore.projector.audit.opening import open_audited
from runlore.schemas import CorruptLogError
from runlore.store.audit.leaf import LeafCoder, origin_of
from runlore.store.audit.merkle import consistency_proof, hash_leaf, inclusion_proof
from runlore.store.audit.tree import StoredNodes, Tree, leaf_index
from runlore.store.log_rows import Received
from tests.audit.logs import EPOCH, Folder, message, messages


def field(value: bytes | int | str | None) -> bytes:
    if value is None:
        return b"\xff\xff\xff\xff"
    if isinstance(value, int):
        value = value.to_bytes(8, "big", signed=True)
    if isinstance(value, str):
        value = value.encode()
    return len(value).to_bytes(4, "big") + value


def event_leaf(row: Received) -> bytes:
    fields = (
        f"runlore/RUNLORE/{EPOCH}", EPOCH, row.position, row.subject, row.event_id, row.recorded_ns,
        sha256(row.headers).digest(), sha256(row.payload).digest(),
    )  # fmt: skip
    return b"\1\1" + b"".join(map(field, fields))


def gap_leaf(first: int, last: int, reason: str) -> bytes:
    return b"\1\2" + b"".join(map(field, (f"runlore/RUNLORE/{EPOCH}", EPOCH, first, last, reason)))


def test_leaves_are_the_documented_bytes() -> None:
    coder = LeafCoder(EPOCH)
    for row in (
        message(1),
        message(2**40, b""),
        message(3, event_id=None),
        message(4)._replace(recorded_ns=-1, subject="ä"),
    ):
        event_id = None if row.event_id is None else row.event_id.encode()
        found = coder.event(row.position, event_id, row.recorded_ns, row.subject.encode(), row.headers, row.payload)
        assert found == hash_leaf(event_leaf(row))
    assert coder.gap(3, 2**40, b"gone") == hash_leaf(gap_leaf(3, 2**40, "gone"))


def test_version_1_of_the_leaf_never_changes() -> None:
    coder = LeafCoder("0190a6f2-0000-7000-8000-000000000000")
    assert coder.event(7, b"id", 1_700_000_000_000_000_000, b"runlore.default.x", b"h", b"p").hex() == GOLDEN_EVENT
    assert coder.event(7, None, 1_700_000_000_000_000_000, b"runlore.default.x", b"", b"").hex() == GOLDEN_BARE
    assert coder.gap(1, 4, b"gone").hex() == GOLDEN_GAP


GOLDEN_EVENT = "92bcf32a889bab7515b1e3c06e7a1f0b3b7f9003d54fc5cc5c404bb26fd482cd"
GOLDEN_BARE = "edf5e1809c9e54ead86dcda5caf649e7154a650b958c7cdbf497eb758479f744"
GOLDEN_GAP = "2c11c428b8127bbd95089a27ea4fa4f7d743b83cfadc8ddff71a5a826945c818"


def test_no_text_of_one_field_can_pass_for_another() -> None:
    coder = LeafCoder(EPOCH)
    texts = [(b"a", b"bc"), (b"ab", b"c"), (b"abc", b""), (b"", b"abc"), (b"abc", None)]
    assert len({coder.event(1, event_id, 1, subject, b"", b"") for subject, event_id in texts}) == len(texts)


def test_an_origin_holds_neither_spaces_nor_plus() -> None:
    assert origin_of("a b+c/d\ne") == "runlore/RUNLORE/a%20b%2Bc%2Fd%0Ae"


def test_the_stored_tree_its_index_and_its_proofs_agree_with_pymerkle(tmp_path: Path) -> None:
    folder, oracle = Folder(tmp_path), InmemoryTree(algorithm="sha256")
    archive = folder.open()
    rows = [*messages(1, 300), message(301, event_id="event-5"), *messages(302, 600)]
    archive.append(rows)
    archive.record_gap(601, 800, "gone")
    archive.append(messages(801, 1200))
    archive.record_gap(1201, 1201, "gone too")
    archive.append(messages(1202, 1300))
    entries = [
        *((row.position, event_leaf(row)) for row in rows),
        (601, gap_leaf(601, 800, "gone")),
        *((row.position, event_leaf(row)) for row in messages(801, 1200)),
        (1201, gap_leaf(1201, 1201, "gone too")),
        *((row.position, event_leaf(row)) for row in messages(1202, 1300)),
    ]
    for _, leaf in entries:
        oracle.append_entry(leaf)
    assert archive.tree.size == len(entries)
    assert archive.tree.root() == oracle.get_root()
    archive.close()
    with contextlib.closing(open_audited(folder.log)) as connection:
        assert [leaf_index(connection, position) for position, _ in entries] == list(range(len(entries)))
        assert leaf_index(connection, 700) == 600
        nodes = StoredNodes(connection)
        for index in (0, 1, 255, 256, 511, 512, 600, 1023, 1024, len(entries) - 1):
            assert (
                inclusion_proof(index, len(entries), nodes) == oracle.prove_inclusion(index + 1, len(entries)).path[1:]
            )
        for old in (1, 255, 256, 257, 512, 1000):
            assert consistency_proof(old, len(entries), nodes)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 768, 65_536])
def test_a_range_that_does_not_fit_its_size_is_refused(size: int) -> None:
    tree = Tree().grown([bytes([number % 256]) * 32 for number in range(size)]).tree
    assert Tree.unpacked(size, tree.packed()) == tree
    with pytest.raises(CorruptLogError, match="not a tree of"):
        Tree.unpacked(size, tree.packed() + b"x")
    with pytest.raises(CorruptLogError, match="not a tree of"):
        Tree.unpacked(size + 1, tree.packed())
