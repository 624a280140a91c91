"""A finding of `runlore doctor`."""

from __future__ import annotations

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """The outcome of one check."""

    check: str
    outcome: Literal["ok", "warn", "fail"]
    detail: str
    advice: str = ""
