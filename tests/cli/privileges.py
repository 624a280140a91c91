"""Being a user whom the system refuses things, for a while, also where the tests run as root."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_VERSION = 0x20080522
_OVERRIDES = 1 << 1 | 1 << 2 | 1 << 3  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
STRANGER = 12345
"""A user ID that is not ours."""


@contextmanager
def no_privileges() -> Iterator[None]:
    """Without root's right to pass over file permissions, in this thread and those it starts."""
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root passes over permissions here, and cannot be kept from it")
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    before = sets[0]
    sets[0] = before & ~_OVERRIDES
    assert libc.capset(header, sets) == 0
    try:
        yield
    finally:
        sets[0] = before
        assert libc.capset(header, sets) == 0


def give_away(folder: Path) -> None:
    """Make a folder another user's, with all that is in it."""
    if os.geteuid() != 0:
        pytest.skip("only root gives folders to others")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, STRANGER, STRANGER)


@contextmanager
def as_stranger(*groups: int) -> Iterator[None]:
    """As another user of this machine, in these groups; only root can become one."""
    if os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(STRANGER)
    os.seteuid(STRANGER)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


@pytest.fixture
def commons() -> Iterator[Path]:
    """A folder like /tmp: everybody may look into it and make files there."""
    folder = Path(tempfile.mkdtemp(prefix="runlore-commons-"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)
