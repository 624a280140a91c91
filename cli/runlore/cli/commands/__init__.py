"""One module for each command; `runlore.cli.app` loads them by name."""
