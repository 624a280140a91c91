"""The view that a replica folds on, and the moment from which readers see it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Self

from runlore.projector.fold import FoldResult
from runlore.projector.logs import get_log
from runlore.projector.views.care import ViewCare
from runlore.projector.views.fitness import UnfitError, damage_is_unfit
from runlore.projector.views.generations import REMOVAL_SECONDS, make_current, rebuild_lock, view_lock
from runlore.projector.views.look_through import LookThrough
from runlore.projector.views.view import View
from runlore.schemas.errors import CorruptLogError, NotFoundError
from runlore.store.folder import DataDir
from runlore.store.log_rows import LogRow
from runlore.store.sqlite import open_reader, sqlite


class FollowedView:
    """One view. A new one is live once it has everything that readers of the one before could see."""

    def __init__(self, data: DataDir, view: View, goal: int | None = None) -> None:
        """`goal`: the view is a new one, and is live once it has reached this; None: it is live already."""
        self._data, self.view = data, view
        self._care, self._look = ViewCare(data), LookThrough(view.path, self._found_damage)
        self._damage: str | None = None
        self._beside = None if goal is None else rebuild_lock(data)  # who holds it may have an unfinished generation
        self._goal = goal or 0
        self.position, self.quarantined = view.position, view.quarantined
        if self._beside is not None:
            self._beside.acquire(REMOVAL_SECONDS)
            self._go_live()

    @classmethod
    def live(cls, data: DataDir) -> Self:
        """The live view. Raises NotFoundError without one, UnfitError where it cannot be folded on."""
        path = data.current_view()
        try:
            with damage_is_unfit():
                view = View.open(path)
        except (NotFoundError, CorruptLogError) as error:
            raise UnfitError(str(error)) from error
        with contextlib.ExitStack() as unfit:
            unfit.callback(view.close)
            if not view.up_to_date:
                raise UnfitError("it was made by another version")
            unfit.pop_all()
        return cls(data, view)

    @property
    def epoch(self) -> str:
        return self.view.epoch

    @property
    def is_live(self) -> bool:
        """Whether readers see it."""
        return self._beside is None

    def fold(self, rows: Sequence[LogRow]) -> FoldResult:
        """Fold the rows that follow `position`. Raises UnfitError where the file is damaged."""
        with damage_is_unfit(), view_lock(self._data):
            result = self.view.fold(rows)
            self.position, self.quarantined = result.position, self.quarantined + result.quarantined
            self._go_live()
        return result

    def care(self) -> None:
        """Look whether the file is what it was, and do what is due. Raises UnfitError."""
        if self._damage is not None:
            raise UnfitError(self._damage)
        if not self.view.in_place():
            raise UnfitError(f"{self.view.path.name} was removed or replaced while it was open")
        if self.is_live and not self._is_current():
            get_log().warning("CURRENT was lost; it names the live view again", view=self.view.path.name)
            make_current(self._data, self.view.path)
        with damage_is_unfit():
            self._care.care_for(self.view)
        self._look.take_if_due()

    def close(self) -> None:
        self._look.close()
        try:
            self.view.checkpoint()
        finally:
            self.view.close()
            if self._beside is not None:
                self._beside.release()

    def _go_live(self) -> None:
        if self._beside is not None and self.position >= self._goal:
            make_current(self._data, self.view.path)
            self._beside.release()
            self._beside = None

    def _is_current(self) -> bool:
        try:
            return self._data.current_view() == self.view.path
        except (NotFoundError, CorruptLogError):
            return False

    def _found_damage(self, what: str) -> None:
        self._damage = what


def live_position(data: DataDir, epoch: str) -> int:
    """The position of the live view of a stream, whatever version made it; 0 without one that can be read."""
    try:
        with contextlib.closing(open_reader(data.current_view())) as live:
            row = live.execute("SELECT position FROM view_state WHERE epoch = ?", (epoch,)).fetchone()
    except (NotFoundError, CorruptLogError, sqlite.DatabaseError):
        return 0
    return int(row[0]) if row is not None else 0
