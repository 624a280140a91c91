"""Restoring a damaged stream from log.db."""
