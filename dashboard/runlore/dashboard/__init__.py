"""Web dashboard over `runlore.query`: read-only, server-rendered, live."""

from runlore.dashboard.app import create_app
from runlore.dashboard.serving import run_dashboard

__all__ = ["create_app", "run_dashboard"]
