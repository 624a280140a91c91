"""Formats of the audit: leaves, their Merkle tree, signed checkpoints, proofs. No key library, no projector."""
