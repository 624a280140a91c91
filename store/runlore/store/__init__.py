"""Storage: the data folder, its locks, SQLite, the tables of log and view, the Merkle tree's format."""
