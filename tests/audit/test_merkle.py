"""The tree against the RFCs' vectors and against pymerkle."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from runlore.store.audit.merkle import (
    EMPTY_ROOT,
    check_consistency,
    check_inclusion,
    consistency_proof,
    hash_children,
    hash_leaf,
    inclusion_proof,
    root_of,
)

# The eight leaves and roots of the reference implementation's tests of RFC 6962 and RFC 9162.
INPUTS = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
PATHS = {
    (0, 1): (),
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
}
CONSISTENCY = {
    (1, 1): (),
    (1, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}


class Model:
    """A whole tree in memory."""

    def __init__(self, inputs: list[bytes]) -> None:
        self.hashes = [hash_leaf(one) for one in inputs]

    def root(self, size: int | None = None) -> bytes:
        return root_of(b"".join(self.hashes[:size]))

    def node(self, level: int, index: int) -> bytes:
        leaves = self.hashes[index << level : (index + 1) << level]
        assert len(leaves) == 1 << level, "only complete subtrees are asked for"
        return root_of(b"".join(leaves))


def numbered(size: int) -> Model:
    return Model([b"%d" % number for number in range(size)])


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert root_of(b"").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_roots_are_the_rfcs() -> None:
    tree = Model(INPUTS)
    assert [tree.root(size).hex() for size in range(1, 9)] == list(ROOTS)


@pytest.mark.parametrize(("at", "path"), PATHS.items())
def test_inclusion_proofs_are_the_rfcs(at: tuple[int, int], path: tuple[str, ...]) -> None:
    tree = Model(INPUTS)
    assert tuple(one.hex() for one in inclusion_proof(*at, tree.node)) == path


@pytest.mark.parametrize(("sizes", "path"), CONSISTENCY.items())
def test_consistency_proofs_are_the_rfcs(sizes: tuple[int, int], path: tuple[str, ...]) -> None:
    tree = Model(INPUTS)
    assert tuple(one.hex() for one in consistency_proof(*sizes, tree.node)) == path


def test_the_rfcs_example_of_seven_leaves() -> None:
    """RFC 6962, 2.1.3: the proofs it spells out by name."""
    tree = numbered(7)
    a, b, c, d, e, f, j = tree.hashes
    g, h, i = hash_children(a, b), hash_children(c, d), hash_children(e, f)
    k, left = hash_children(g, h), hash_children(i, j)
    assert tree.root() == hash_children(k, left)
    assert inclusion_proof(0, 7, tree.node) == [b, h, left]
    assert inclusion_proof(3, 7, tree.node) == [c, g, left]
    assert inclusion_proof(4, 7, tree.node) == [f, j, k]
    assert inclusion_proof(6, 7, tree.node) == [i, k]
    assert consistency_proof(3, 7, tree.node) == [c, d, g, left]
    assert consistency_proof(4, 7, tree.node) == [left]
    assert consistency_proof(6, 7, tree.node) == [i, j, k]


def test_all_small_trees_agree_with_pymerkle() -> None:
    oracle = InmemoryTree(algorithm="sha256")
    size = 70
    for number in range(size):
        oracle.append_entry(b"%d" % number)
    tree = numbered(size)
    for last in range(1, size + 1):
        assert tree.root(last) == oracle.get_root(last)
    for last in (1, 2, 3, 8, 9, 33, 64, 70):
        for index in range(last):
            path = oracle.prove_inclusion(index + 1, last).path[1:]  # its first is the leaf itself
            assert inclusion_proof(index, last, tree.node) == path


def test_every_proof_of_every_small_tree_verifies() -> None:
    tree = numbered(40)
    for size in range(1, 41):
        for index in range(size):
            path = inclusion_proof(index, size, tree.node)
            assert check_inclusion(tree.hashes[index], index, size, path, tree.root(size))
        for old in range(1, size + 1):
            path = consistency_proof(old, size, tree.node)
            assert check_consistency(old, size, tree.root(old), tree.root(size), path)
        assert check_consistency(0, size, EMPTY_ROOT, tree.root(size), [])


@given(st.data())
def test_mutated_inclusion_proofs_fail(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 200))
    index = data.draw(st.integers(0, size - 1))
    tree = numbered(size)
    path, root, leaf = inclusion_proof(index, size, tree.node), tree.root(), tree.hashes[index]
    for changed in mutations(data, path):
        assert not check_inclusion(leaf, index, size, changed, root)
    other = data.draw(st.integers(-2, size + 3).filter(lambda value: value != index))
    assert not check_inclusion(leaf, other, size, path, root)
    assert not check_inclusion(flipped(leaf, 3), index, size, path, root)
    assert not check_inclusion(leaf, index, size, path, flipped(root, 7))


@given(st.data())
def test_mutated_consistency_proofs_fail(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 200))
    old = data.draw(st.integers(1, size - 1))
    tree = numbered(size)
    path, roots = consistency_proof(old, size, tree.node), (tree.root(old), tree.root())
    for changed in mutations(data, path):
        assert not check_consistency(old, size, *roots, changed)
    assert not check_consistency(old, size, flipped(roots[0], 1), roots[1], path)
    assert not check_consistency(old, size, roots[0], flipped(roots[1], 1), path)
    assert not check_consistency(old, size, roots[1], roots[0], path)
    assert not check_consistency(size, old, *roots, path)


def flipped(value: bytes, bit: int) -> bytes:
    return bytes([value[0] ^ (1 << bit)]) + value[1:]


def mutations(data: st.DataObject, path: list[bytes]) -> list[list[bytes]]:
    """One bit flipped, one hash dropped, doubled, cut short, two swapped, and one too many."""
    at, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 7))
    changed = [
        [*path[:at], flipped(path[at], bit), *path[at + 1 :]],
        [*path[:at], *path[at + 1 :]],
        [*path[:at], path[at], *path[at:]],
        [*path[:at], path[at][:-1], *path[at + 1 :]],
        [*path, bytes(32)],
        [],
    ]
    changed += [list(order) for order in itertools.islice(itertools.permutations(path), 1, 4)]
    return [one for one in changed if one != path]
