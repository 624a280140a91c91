"""`python -m runlore.cli` is the `runlore` command."""

from runlore.cli import main

main()
