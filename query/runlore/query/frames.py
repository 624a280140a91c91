"""Tables for other libraries: columns of Python values, typed as pandas, polars, Arrow and DuckDB know them.

A column has one type if its values have: whole numbers (sizes, too), numbers, booleans, text, times, dates, durations,
bytes, lists of these. Whole numbers beside others become numbers, and so do Decimals; a column of unlike values is
text, as people read it (in pandas: the Python values themselves). None, and what is absent, is missing.
"""

from __future__ import annotations

import datetime as dt
import decimal
import importlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from runlore.query.notebook import html_table
from runlore.schemas.errors import ArgumentError, RunloreError
from runlore.store.cells import nearest_float, readable

MAX_SHOWN = 100
"""Rows that a notebook shows."""
_LEAST, _MOST = -(2**63), 2**63 - 1


class _Type(NamedTuple):
    """How a column's values are stored."""

    arrow: str
    """Name of the pyarrow function that makes the type, and its arguments."""
    arguments: tuple[Any, ...]
    pandas: str | None
    """None: the Python values as they are."""
    convert: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _float(value: Any) -> float:
    return nearest_float(value) if isinstance(value, decimal.Decimal) else float(value)


def _valid(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _text(value: Any) -> str:
    return _valid(str(value))


def _readable(value: Any) -> str:
    return _valid(readable(value))


def _in_utc(value: dt.datetime) -> dt.datetime:
    return value.astimezone(dt.UTC)


_TYPES: dict[str, _Type] = {
    "bool": _Type("bool_", (), "boolean", bool),
    "int": _Type("int64", (), "Int64", int),
    "float": _Type("float64", (), "float64", _float),
    "str": _Type("string", (), None, _text),
    "datetime": _Type("timestamp", ("us", "UTC"), "datetime64[us, UTC]", _in_utc),
    "date": _Type("date32", (), None, _same),
    "timedelta": _Type("duration", ("us",), "timedelta64[us]", _same),
    "bytes": _Type("binary", (), None, _same),
    "text": _Type("string", (), None, _readable),
}
"""``text`` is for unlike values."""


def _kind_of(value: Any) -> str:
    """The type that one value asks for."""
    match value:
        case bool():
            return "bool"
        case int():
            return "int" if _LEAST <= value <= _MOST else "float"
        case float() | decimal.Decimal():
            return "float"
        case str() | uuid.UUID():
            return "str"
        case dt.datetime():
            return "datetime" if value.utcoffset() is not None else "text"
        case dt.date():
            return "date"
        case dt.timedelta():
            return "timedelta"
        case bytes():
            return "bytes"
        case _:
            return "text"


def column_type(values: Iterable[Any]) -> str:
    """The name of the one type that holds all values of a column; ``str`` for one without any."""
    kinds = {_kind_of(value) for value in values if value is not None}
    if not kinds:
        return "str"
    if len(kinds) == 1:
        return kinds.pop()
    return "float" if kinds <= {"int", "float"} else "text"


class Frame:
    """A table: columns by name, each with a value (or None) for every row.

    Takes part where a data frame is taken: ``polars.DataFrame(frame)``, ``duckdb.sql("SELECT … FROM frame")`` (with
    pyarrow installed). `columns`: their names; `position`: the event that it is complete up to.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]], position: int = 0) -> None:
        self._data = {name: list(values) for name, values in columns.items()}
        self.position = position
        if len({len(values) for values in self._data.values()}) > 1:
            raise ArgumentError("the columns of a frame have one length")

    @property
    def columns(self) -> list[str]:
        return list(self._data)

    def __getitem__(self, name: str) -> list[Any]:
        """The values of a column. Raises KeyError."""
        return self._data[name]

    def __len__(self) -> int:
        return len(next(iter(self._data.values()), ()))

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The values row by row."""
        return zip(*self._data.values(), strict=True)

    def to_dicts(self) -> list[dict[str, Any]]:
        """A dict for each row."""
        return [dict(zip(self._data, row, strict=True)) for row in self.rows()]

    def to_pandas(self, index: Sequence[Any] | None = None) -> Any:
        """A pandas.DataFrame with typed columns. Raises RunloreError when pandas is not installed."""
        pandas = installed("pandas", "to_pandas()")
        made = {name: _pandas_column(pandas, values) for name, values in self._data.items()}
        frame = pandas.DataFrame(made, columns=self.columns)
        return frame if index is None else frame.set_index(pandas.Index(list(index), dtype=object))

    def to_arrow(self) -> Any:
        """A pyarrow.Table with typed columns. Raises RunloreError when pyarrow is not installed."""
        arrow = installed("pyarrow", "to_arrow()")
        return arrow.table({name: _arrow_column(arrow, values) for name, values in self._data.items()})

    def to_polars(self) -> Any:
        """A polars.DataFrame with typed columns. Raises RunloreError when polars or pyarrow is not installed."""
        polars = installed("polars", "to_polars()")
        return polars.DataFrame(self.to_arrow())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The Arrow PyCapsule interface: for any library that takes Arrow data."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def _repr_html_(self) -> str:
        return html_table(self.columns, list(self.rows())[:MAX_SHOWN])

    def __repr__(self) -> str:
        named = ", ".join(self.columns[:8]) + (", …" if len(self._data) > 8 else "")
        return f"<Frame of {len(self):,} rows: {named}>"


class Framed:
    """Base of answers that are tables, too."""

    __slots__ = ()

    def to_frame(self) -> Frame:
        """Return it as a table."""
        raise NotImplementedError(type(self).__name__)

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame. Raises RunloreError when pandas is not installed."""
        return self.to_frame().to_pandas()

    def to_polars(self) -> Any:
        """Return a polars.DataFrame. Raises RunloreError when polars or pyarrow is not installed."""
        return self.to_frame().to_polars()

    def to_arrow(self) -> Any:
        """Return a pyarrow.Table. Raises RunloreError when pyarrow is not installed."""
        return self.to_frame().to_arrow()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The Arrow PyCapsule interface."""
        return self.to_frame().__arrow_c_stream__(requested_schema)


def frame_of_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]], position: int = 0) -> Frame:
    """The frame of rows."""
    listed = list(rows)
    return Frame({name: [row[place] for row in listed] for place, name in enumerate(columns)}, position)


def _pandas_column(pandas: Any, values: Sequence[Any]) -> Any:
    kind = column_type(values)
    store = _TYPES[kind]
    missing = any(value is None for value in values)
    if store.pandas is None:
        return pandas.Series(list(values), dtype=object)
    whole = {"bool": "bool", "int": "int64"}.get(kind) if not missing else None
    converted = [None if value is None else store.convert(value) for value in values]
    try:
        return pandas.Series(converted, dtype=whole or store.pandas)
    except (OverflowError, ValueError):  # a time that pandas cannot hold
        return pandas.Series(list(values), dtype=object)


def _arrow_column(arrow: Any, values: Sequence[Any]) -> Any:
    kind = column_type(values)
    if kind == "text" and (found := _list_column(arrow, values)) is not None:
        return found
    store = _TYPES[kind]
    converted = [None if value is None else store.convert(value) for value in values]
    return arrow.array(converted, type=getattr(arrow, store.arrow)(*store.arguments))


def _list_column(arrow: Any, values: Sequence[Any]) -> Any:
    """A column of lists whose items have one plain type; None for any other."""
    if not all(value is None or type(value) in (list, tuple) for value in values):
        return None
    kind = column_type(item for value in values if value is not None for item in value)
    if kind == "text":
        return None
    store = _TYPES[kind]
    lists = [
        None if value is None else [None if item is None else store.convert(item) for item in value] for value in values
    ]
    return arrow.array(lists, type=arrow.list_(getattr(arrow, store.arrow)(*store.arguments)))


def installed(name: str, method: str) -> Any:
    """A library that a method needs. Raises RunloreError that says what to install."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        needed = "polars pyarrow" if package == "polars" else package
        raise RunloreError(f"{method} needs {package}: pip install {needed}") from error
