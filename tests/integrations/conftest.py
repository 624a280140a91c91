"""Adapters are tested with their packages, in environments of their own: `make test-adapters`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

PACKAGES = {path.stem for path in (Path(__file__).parents[2] / "integrations" / "constraints").glob("*.txt")}
collect_ignore_glob = [f"test_{name}_*.py" for name in PACKAGES if find_spec(name) is None]
