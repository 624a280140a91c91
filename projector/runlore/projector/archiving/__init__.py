"""Archiving: from the stream to log.db, and whether the stream is still the one it was."""
