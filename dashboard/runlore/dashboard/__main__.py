"""`python -m runlore.dashboard`: the page as a child of `runlore up`; says where it is in dashboard.json."""

from __future__ import annotations

import sys

from runlore.dashboard.serving import run_dashboard, say_where, say_why_not
from runlore.schemas.errors import RunloreError, SettingsError
from runlore.schemas.settings import read_settings
from runlore.store.folder import DataDir


def main() -> int:
    """Serve by the settings of the environment; the exit code: 2 for wrong settings, 1 for other reasons."""
    settings = read_settings()
    data = DataDir(settings.data_dir)
    try:
        run_dashboard(settings, lambda url: say_where(data, url))
    except RunloreError as error:
        say_why_not(data, str(error))
        return 2 if isinstance(error, SettingsError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
