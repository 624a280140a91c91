"""The special metadata types of the specification: plain values with a meaning."""

from __future__ import annotations

import math


class Uri(str):
    """A resource's address, for example ``Uri("gs://bucket/source.csv")``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Uri({str.__repr__(self)})"


class Path(str):
    """A file-system path on the machine that logged it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Path({str.__repr__(self)})"


class DType(str):
    """The name of a data type, for example ``DType("float")``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"DType({str.__repr__(self)})"


class StorageSize(int):
    """A size in bytes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"StorageSize({int.__repr__(self)})"

    def human(self) -> str:
        """The size in decimal units, for example ``2.5 MB`` (1 kB = 1,000 bytes)."""
        try:
            size = float(self)
        except OverflowError:
            power = int(self.bit_length() * math.log10(2))
            return f"about {'-' if self < 0 else ''}1e{power} B"
        for unit in ("B", "kB", "MB", "GB", "TB"):
            if abs(size) < 999.95:
                return f"{int(self)} B" if unit == "B" else f"{size:.1f} {unit}"
            size /= 1000
        return f"{size:.1f} PB"


class Erased(str):
    """What takes the place of a value that was erased: the reason. The log's erasures say which of them are real."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Erased({str.__repr__(self)})"
