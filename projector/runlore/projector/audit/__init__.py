"""The audit: a Merkle tree over the archive, signed checkpoints, proofs, and their verification.

Re-exports nothing: the archive grows the tree and needs none of the rest.
"""
