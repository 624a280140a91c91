"""NATS: connecting, JetStream's API, the stream's configuration, messages as they go over the wire."""
