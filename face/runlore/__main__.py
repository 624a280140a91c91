"""`python -m runlore`."""

from runlore.cli import main

main()
