"""``python -m runlore.projector``: the service, configured by RUNLORE_* variables."""

from __future__ import annotations

import sys

from runlore.projector import run_projector
from runlore.schemas import SettingsError, read_settings


def main() -> int:
    """Run the projector; its exit code."""
    try:
        settings = read_settings()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    return run_projector(settings)


if __name__ == "__main__":
    sys.exit(main())
