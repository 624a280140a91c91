"""How long tests wait: until the event itself, with a limit that only a hang reaches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

PATIENCE = 90.0
"""Seconds, many times what anything here takes on a busy machine: whoever reaches it hangs."""


def until(true: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Return what `true` returns once it is truthy; fail the test when it never is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := true():
            return result
        time.sleep(0.01)
    pytest.fail(f"did not happen in {seconds:.0f} s")
