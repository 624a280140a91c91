"""Comparing entities leaf by leaf."""
