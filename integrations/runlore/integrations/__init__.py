"""Adapters to other tools, each an optional extra: none ever raises into its host, and none blocks it."""
