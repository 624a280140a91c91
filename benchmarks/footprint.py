"""The cost of a producer to its step: import time, memory, and the time of a process with and without a server."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.common import data_folder, figure, running_stack, timed

_IMPORT = "import time; t = time.perf_counter(); import runlore.producer; print(time.perf_counter() - t)"
_MEMORY = """
import resource, sys
def rss():
    return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()
before = rss()
import runlore.producer as producer
for number in range(20_000):
    producer.log_artifact_metadata({'g': {'a': 0.1, 'b': 0.2}, 'n': number, 's': 'x', 'l': ['a', 'b', 'c']}, 'a', '1')
producer.flush(60)
print(rss() - before)
"""
_STEP = """
import runlore.producer as producer
for number in range(2000):
    producer.log_artifact_metadata({'n': number}, 'a', '1')
print(0)
"""


def _run(code: str) -> float:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    figure("import runlore.producer, median of 7", f"{statistics.median(_run(_IMPORT) for _ in range(7)) * 1e3:.0f} ms", "target 150 ms")  # fmt: skip
    with data_folder():
        absent = min(timed(lambda: _run(_STEP)) for _ in range(5))
    with running_stack():
        present = min(timed(lambda: _run(_STEP)) for _ in range(5))
        figure("a process of 2,000 calls, least of 5", f"{present * 1e3:.0f} ms")
        figure("  the same without a server", f"{absent * 1e3:.0f} ms")
        figure("memory added after 20,000 sent events", f"{_run(_MEMORY) / 2**20:.1f} MiB", "target 40 MiB")
