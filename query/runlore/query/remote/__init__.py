"""The same Client over NATS: a service beside the view, and a client that asks it."""
