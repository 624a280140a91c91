"""Tables as pandas knows them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import Any

from runlore.schemas.errors import RunloreError


def frame(rows: Iterable[Sequence[Any]], columns: Sequence[str], index: Sequence[str] | None = None) -> Any:
    """A DataFrame of Python values as they are. Raises RunloreError when pandas is not installed."""
    try:
        pandas = importlib.import_module("pandas")
    except ModuleNotFoundError as error:
        raise RunloreError("to_pandas() needs pandas: pip install pandas, or use to_dict()") from error
    return pandas.DataFrame(list(rows), columns=list(columns), index=index, dtype=object)
