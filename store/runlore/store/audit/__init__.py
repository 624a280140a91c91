"""What an audit goes by: leaves, their Merkle tree, signed checkpoints, proofs. No key library, no projector."""
