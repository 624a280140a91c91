"""CPU and input and output of processes, as Linux counts them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """What a process has used since its start, or between two looks."""

    cpu: float
    """Seconds, of all threads."""
    main_cpu: float
    """Seconds of the first thread alone."""
    calls: int
    """Bytes given to write calls; a memory-mapped file is not in it."""
    disk: int
    """Bytes of pages made dirty in files, mapped ones included: what goes to the device. 0 on tmpfs."""

    def since(self, before: Usage) -> Usage:
        return Usage(
            self.cpu - before.cpu,
            self.main_cpu - before.main_cpu,
            self.calls - before.calls,
            self.disk - before.disk,
        )


def usage(pid: int) -> Usage:
    """What a living process has used."""
    proc = Path("/proc", str(pid))
    fields = (proc / "stat").read_text().rpartition(")")[2].split()
    numbers = dict(line.split(": ") for line in (proc / "io").read_text().splitlines())
    main = int((proc / "task" / str(pid) / "schedstat").read_text().split()[0])
    return Usage(
        (int(fields[11]) + int(fields[12])) / _TICK,
        main / 1e9,
        int(numbers["wchar"]),
        int(numbers["write_bytes"]),
    )


def children(pid: int) -> list[int]:
    """The living children of a process, and theirs."""
    found: list[int] = []
    for task in Path("/proc", str(pid), "task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *children(int(child))]
    return found


def role(pid: int) -> str:
    """What a process of the stack does."""
    command = Path("/proc", str(pid), "cmdline").read_text().replace("\0", " ")
    for name, sign in (("server", "nats-server"), ("fold", "fold_worker"), ("archive", "runlore.projector ")):
        if sign in command:
            return name
    return "other"


def wait_until_idle(pid: int, share: float = 0.03, most: float = 120.0) -> None:
    """Until a process uses less than a share of a core, `most` seconds at most."""
    deadline = time.monotonic() + most
    while time.monotonic() < deadline:
        before = usage(pid).cpu
        time.sleep(1.0)
        if usage(pid).cpu - before <= share:
            return


def load() -> str:
    """The machine's load, to be quoted beside a figure."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
