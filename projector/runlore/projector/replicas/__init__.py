"""Replicas: views on other machines, which begin with a snapshot and follow the stream without a log.db."""
