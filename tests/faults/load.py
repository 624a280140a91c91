"""A step under load, as its own process: numbers its calls and names the event of each one that has returned."""

from __future__ import annotations

import os
import sys
import time

from runlore.producer import flush, log_metadata


def main() -> None:
    name, count, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    for number in range(count):
        receipt = log_metadata({"n": number, "group": {"half": number / 2}}, f"load:{name}@1")
        # One unbuffered write a call: what stands in the file has returned, whatever kills us next.
        os.write(1, f"{receipt.event_id}\n".encode())
        if pause:
            time.sleep(pause)
    left = flush(90)
    print(f"unsent {left.unsent}", flush=True)


if __name__ == "__main__":
    main()
