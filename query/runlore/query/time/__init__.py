"""Moments and the texts that mean them."""
