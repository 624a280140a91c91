"""A step that is interrupted and goes on, as its own process: tells each call that has returned.

SIGINT raises KeyboardInterrupt wherever it lands, SIGUSR1 logs from its handler, SIGTERM ends the loop.
"""

from __future__ import annotations

import os
import signal
import sys

from runlore.producer import flush, log_metadata, run_context, step_context


class Load:
    def __init__(self, name: str) -> None:
        self.entity = f"load:{name}@1"
        self.number = self.handled = 0
        self.ended = False

    def handle(self, *_: object) -> None:
        self.handled += 1
        self.log("handled", self.handled)

    def end(self, *_: object) -> None:
        self.ended = True

    def log(self, key: str, number: int) -> None:
        log_metadata({key: number}, self.entity)
        os.write(1, f"{key} {number}\n".encode())

    def go_on(self) -> None:
        while not self.ended:
            self.number += 1
            if self.number % 50:
                self.log("n", self.number)
            else:
                with run_context("interrupted"), step_context("train"):
                    self.log("n", self.number)


def main() -> None:
    load = Load(sys.argv[1])
    signal.signal(signal.SIGUSR1, load.handle)
    signal.signal(signal.SIGTERM, load.end)
    while not load.ended:
        try:
            load.go_on()
        except KeyboardInterrupt:
            continue
    os.write(1, f"unsent {flush(120).unsent}\n".encode())


if __name__ == "__main__":
    main()
