"""`python -m runlore.dashboard`: the dashboard as a child of `runlore up`; writes its address to dashboard.json."""

from __future__ import annotations

from runlore.dashboard.serving import run_dashboard, write_address
from runlore.schemas.layout import DataDir
from runlore.schemas.settings import read_settings


def main() -> None:
    """Run the dashboard with settings from the environment."""
    settings = read_settings()
    run_dashboard(settings, lambda url: write_address(DataDir(settings.data_dir), url))


if __name__ == "__main__":
    main()
