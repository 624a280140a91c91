"""The difference between two entities, or one at two moments, leaf by leaf."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, get_args

from runlore.query.compare.comparison import Comparison
from runlore.query.entity import Entity
from runlore.query.frames import Frame, Framed, frame_of_rows
from runlore.query.notebook import html_table
from runlore.query.numbers import Number, difference
from runlore.store.cells import readable

ChangeKind = Literal["added", "removed", "changed", "equal"]
CHANGES: tuple[ChangeKind, ...] = get_args(ChangeKind)


class Difference(NamedTuple):
    """One path of two entities, or of one at two moments; None where it is absent."""

    path: str
    change: ChangeKind
    before: Any
    after: Any
    delta: Number | None = None
    """`after` minus `before` where both are numbers; a StorageSize where both are sizes, a Decimal between Decimals."""
    relative: float | None = None
    """`delta` as a share of the size of `before`; None where that is 0, or the share is no finite number."""


class Differences(list[Difference], Framed):
    """Every path of two entities, what is not equal first."""

    def __init__(self, found: Iterable[Difference], before: Entity, after: Entity) -> None:
        super().__init__(found)
        self.before, self.after = before, after
        self.position = max(before.position, after.position)
        """The later side is complete up to this event."""

    def to_frame(self) -> Frame:
        """Return a row for each path."""
        return frame_of_rows(Difference._fields, self, self.position)

    def only(self, *changes: ChangeKind) -> list[Difference]:
        """Those that were, for example, ``"added"`` or ``"removed"``."""
        return [item for item in self if item.change in changes]

    def __repr__(self) -> str:
        counts = Counter(item.change for item in self)
        listed = ", ".join(f"{counts[change]} {change}" for change in CHANGES if counts[change]) or "no keys"
        return f"<Differences from {self.before!r} to {self.after!r}: {listed}>"

    def _repr_html_(self) -> str:
        rows = [
            (
                item.path,
                item.change,
                None if item.change == "added" else readable(item.before),
                None if item.change == "removed" else readable(item.after),
                item.delta,
            )
            for item in self
        ]
        return html_table(("key", "change", "before", "after", "delta"), rows, f"{self.before!r} to {self.after!r}")


def differences(before: Entity, after: Entity) -> Differences:
    """Return every path of either, what is not equal first."""
    found: list[Difference] = []
    for row in Comparison((before, after)).rows:
        was, is_now = row.present
        change: ChangeKind = "added" if not was else "removed" if not is_now else "changed" if row.differs else "equal"
        found.append(Difference(row.path, change, *row.values, *(difference(*row.values) if was and is_now else ())))
    return Differences(found, before, after)
