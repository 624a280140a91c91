"""`python -m runlore.dashboard`: the dashboard as a child of `runlore up`; writes its address to dashboard.json."""

from __future__ import annotations

import sys

from runlore.dashboard.serving import run_dashboard, write_address, write_failure
from runlore.schemas.errors import RunloreError, SettingsError
from runlore.schemas.settings import read_settings
from runlore.store.folder import DataDir


def main() -> int:
    """Run the dashboard with settings from the environment; exit code 2 for wrong settings, 1 for other reasons."""
    settings = read_settings()
    data = DataDir(settings.data_dir)
    try:
        run_dashboard(settings, lambda url, token: write_address(data, url, token))
    except RunloreError as error:
        write_failure(data, str(error))
        return 2 if isinstance(error, SettingsError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
