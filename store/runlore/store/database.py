"""sqlite-utils, without what it loads only because it is there. Import `Database` and `Migrations` from here.

sqlite-utils imports pandas and numpy where they are installed, to give their types a column type: a second and 40 MB
for every process of a machine-learning environment, and nothing that Runlore stores has such a type.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

_NOT_NEEDED = ("pandas", "numpy")


@contextlib.contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Let imports in this block not find these modules, unless they are loaded already."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with _without(_NOT_NEEDED):
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

__all__ = ["Database", "Migrations"]
