"""Rows of an outbox, and what can be wrong with the files that hold them."""

from __future__ import annotations

import errno
from typing import NamedTuple

import msgspec

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Row(msgspec.Struct, frozen=True, gc=False):
    """One event that waits. The garbage collector of the step has nothing to do with the many that a relay reads."""

    seq: int
    subject: str
    payload: bytes


class DeadLetter(NamedTuple):
    """One event that the server will never take, with its reason. `failed_at`: Unix seconds."""

    seq: int
    subject: str
    reason: str
    failed_at: float


class DamagedError(Exception):
    """A file of an outbox does not hold what was written into it."""


def is_full(error: BaseException | None) -> bool:
    """Return whether an error means that the disk, or what this process may have of it, is full."""
    return isinstance(error, OSError) and error.errno in _FULL
