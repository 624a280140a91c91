"""Files that the steps hand to each other; Runlore keeps what is known about them, not the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np

from runlore.schemas import Path as LoggedPath
from runlore.schemas import StorageSize, Uri


class Split(NamedTuple):
    """Rows to learn from and rows to judge by: features (n, 64) in 0 to 16, labels (n,) in 0 to 9."""

    train_x: np.ndarray[Any, Any]
    train_y: np.ndarray[Any, Any]
    test_x: np.ndarray[Any, Any]
    test_y: np.ndarray[Any, Any]


def save_split(folder: Path, split: Split) -> Path:
    path = folder / "digits.npz"
    np.savez(path, **split._asdict())
    return path


def load_split(folder: Path) -> Split:
    with np.load(folder / "digits.npz") as arrays:
        return Split(*(arrays[name] for name in Split._fields))


def save_model(folder: Path, name: str, model: Any) -> Path:
    path = folder / f"{name}.joblib"
    joblib.dump(model, path)
    return path


def load_model(folder: Path, name: str) -> Any:
    return joblib.load(folder / f"{name}.joblib")


def file_facts(path: Path) -> dict[str, Any]:
    """Return metadata that any file has."""
    return {
        "uri": Uri(path.as_uri()),
        "path": LoggedPath(path),
        "storage_size": StorageSize(path.stat().st_size),
    }
