"""The Merkle tree of RFC 6962, section 2.1: hashes, roots, proofs and their verification.

Leaf hash: SHA-256(0x00 || leaf); node hash: SHA-256(0x01 || left || right); the root of nothing is SHA-256("").
All hashes are 32 bytes. `levels`: a complete subtree of level h over leaves [i * 2^h, (i + 1) * 2^h) is node (h, i).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()
MAX_PROOF = 64
"""No proof is longer: trees have fewer than 2^63 leaves, and a consistency proof one hash a level and one more."""

Node = Callable[[int, int], bytes]
"""The hash of a complete subtree, by level and index."""


def hash_leaf(leaf: bytes) -> bytes:
    """The hash of one leaf."""
    return sha256(b"\0" + leaf).digest()


def hash_children(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\1" + left + right).digest()


def parents(hashes: bytes) -> bytes:
    """One level up: concatenated hashes pair by pair, a last odd one promoted as it is."""
    pairs = len(hashes) // (2 * HASH_BYTES) * 2 * HASH_BYTES
    above = [sha256(b"\1" + hashes[at : at + 64]).digest() for at in range(0, pairs, 64)]
    return b"".join(above) + hashes[pairs:]


def root_of(hashes: bytes) -> bytes:
    """MTH (RFC 6962, 2.1) of concatenated leaf hashes.

    Promoting the odd node of each level gives the RFC's tree, whose left subtrees are the largest complete ones.
    """
    if not hashes:
        return EMPTY_ROOT
    while len(hashes) > HASH_BYTES:
        hashes = parents(hashes)
    return hashes


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962, 2.1.1: siblings from the leaf up. Needs 0 <= index < size."""
    first, end, path = 0, size, list[bytes]()
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            path.append(subtree_root(middle, end, node))
            end = middle
        else:
            path.append(subtree_root(first, middle, node))
            first = middle
    return path[::-1]


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962, 2.1.2: empty when old is new. Needs 0 < old <= new."""
    first, end, path = 0, new, list[bytes]()
    while end != old:
        middle = first + _split(end - first)
        if old <= middle:
            path.append(subtree_root(middle, end, node))
            end = middle
        else:
            path.append(subtree_root(first, middle, node))
            first = middle
    if first > 0:  # else the old tree is a complete subtree on the left edge, which the verifier knows
        path.append(subtree_root(first, end, node))
    return path[::-1]


def subtree_root(first: int, end: int, node: Node) -> bytes:
    """MTH(D[first:end]) from complete subtrees; `first` must be a place where the tree splits."""
    size = end - first
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, first >> level)
    middle = first + _split(size)
    return hash_children(subtree_root(first, middle, node), subtree_root(middle, end, node))


class ProofStep(NamedTuple):
    """One step of a proof, from a node to the one above it."""

    sibling: bytes
    on_left: bool
    """True if the sibling comes first in the hash."""
    gives: bytes


def climb(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes]) -> list[ProofStep] | None:
    """Return the steps of an inclusion proof up to the root (RFC 9162, 2.1.3.2); None if it does not end at one."""
    if not 0 <= index < size or not _well_formed(path):
        return None
    at, last, found = index, size - 1, leaf_hash
    steps: list[ProofStep] = []
    for sibling in path:
        if last == 0:
            return None
        on_left = bool(at & 1) or at == last
        if on_left:
            found = hash_children(sibling, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = hash_children(found, sibling)
        steps.append(ProofStep(sibling, on_left, found))
        at, last = at >> 1, last >> 1
    return steps if last == 0 else None


def check_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Return whether the proof shows the leaf at `index` in the tree of `size` and `root`."""
    steps = climb(leaf_hash, index, size, path)
    return steps is not None and root == (steps[-1].gives if steps else leaf_hash)


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Return whether the proof shows the old tree to be a prefix of the new one (RFC 9162, 2.1.4.2).

    Every tree contains the empty one; the proof of that, and of a tree for itself, is empty.
    """
    if not 0 <= old <= new or not _well_formed(path):
        return False
    if old in (0, new):
        return not path and old_root == (new_root if old else EMPTY_ROOT)
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not hashes:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_found = new_found = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old_found, new_found = hash_children(sibling, old_found), hash_children(sibling, new_found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new_found = hash_children(new_found, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and (old_found, new_found) == (old_root, new_root)


def _well_formed(path: Sequence[bytes]) -> bool:
    return len(path) <= MAX_PROOF and all(len(one) == HASH_BYTES for one in path)


def _split(size: int) -> int:
    """The largest power of two below `size`, which is at least 2."""
    return 1 << (size - 1).bit_length() - 1
