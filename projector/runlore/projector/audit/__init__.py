"""The audit: a Merkle tree over the archive, signed checkpoints, proofs, and their verification."""
