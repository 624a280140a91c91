"""Sending: from outboxes to the stream, and what the stream and the archive say about it."""
