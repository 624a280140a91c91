"""`python -m benchmarks [name ...]`: measure Runlore on this machine and print figures and ratios."""

from __future__ import annotations

import importlib
import sys
import time

NAMES = (
    "emit",
    "steps",
    "footprint",
    "throughput",
    "latency",
    "watch",
    "reads",
    "remote",
    "past",
    "find",
    "rebuild",
    "replica",
    "live_fold",
    "audit",
    "pages",
    "smooth",
)


def main() -> int:
    chosen = sys.argv[1:] or NAMES
    for name in chosen:
        if name not in NAMES:
            print(f"unknown benchmark {name!r}: choose from {', '.join(NAMES)}", file=sys.stderr)
            return 2
    for name in chosen:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"\n{name}: {(module.__doc__ or '').strip().splitlines()[0]}")
        started = time.perf_counter()
        module.main()
        print(f"  ({time.perf_counter() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
