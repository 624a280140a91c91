"""Child processes beside the projector that only read: the page and the query service."""

from __future__ import annotations

from collections.abc import Callable

from runlore.cli.children import Child, Reviver

USAGE = 2
"""Exit code of a child whose settings or permissions a person must mend."""


class SideChild:
    """A child that is started again when it ends. Given up, it is missed, but the log does not stop for it."""

    def __init__(self, name: str, child: Child) -> None:
        self._name, self._child, self._reviver = name, child, Reviver()
        self.given_up = False

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def start(self) -> None:
        """Start it, unless it runs. Call it from the main thread."""
        if self._child.pid is None or self._child.exit_code() is not None:
            self._child.start()

    def exit_code(self) -> int | None:
        """None while it runs or before it was started."""
        return self._child.exit_code()

    def stop(self, seconds: float) -> None:
        """SIGTERM, then SIGKILL after `seconds`. Harmless when it does not run."""
        self._child.stop(seconds)

    def supervise(self, note: Callable[[str], None]) -> None:
        """Start it again if it has ended, with back-off; give it up where that changes nothing."""
        code = self._child.exit_code()
        if code is None or self.given_up:
            return
        if code == USAGE or self._reviver.hopeless:
            self.given_up = True
            note(f"{self._name} ended with {code} and is given up; all else goes on without it")
        elif self._reviver.due():
            note(f"{self._name} ended with {code}; starting it again")
            self._child.start()
