"""`python -m runlore.dashboard`: the page as a child of `runlore up`; says where it is in dashboard.json."""

from __future__ import annotations

from runlore.dashboard.serving import run_dashboard, say_where
from runlore.schemas.layout import DataDir
from runlore.schemas.settings import read_settings


def main() -> None:
    """Settings from the environment."""
    settings = read_settings()
    run_dashboard(settings, lambda url: say_where(DataDir(settings.data_dir), url))


if __name__ == "__main__":
    main()
