"""Snapshots of the view in NATS's object store, from which replicas begin."""
