"""Outboxes: events that are durable here and not yet on the stream."""
