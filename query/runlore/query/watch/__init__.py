"""Watching: which changes are wanted, reading them page by page, and following the log."""
