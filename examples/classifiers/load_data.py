"""Step: scikit-learn's handwritten digits, split into training and test rows."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from workspace import Split, file_facts, save_split

from runlore.producer import log_artifact_metadata, log_step_metadata, step_context
from runlore.schemas import DType


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--test-share", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    with step_context("load_data"):
        features, labels = load_digits(return_X_y=True)
        train_x, test_x, train_y, test_y = train_test_split(
            features, labels, test_size=options.test_share, random_state=options.seed, stratify=labels
        )
        path = save_split(options.folder, Split(train_x, train_y, test_x, test_y))
        log_artifact_metadata(
            {
                **file_facts(path),
                "row_count": {"train": len(train_x), "test": len(test_x)},
                "columns": [f"pixel_{row}_{column}" for row in range(8) for column in range(8)],
                "dtype": DType(features.dtype),
                "classes": {str(label): int(count) for label, count in enumerate(np.bincount(labels))},
            },
            artifact_name="digits",
        )
        log_step_metadata({"seed": options.seed, "test_share": options.test_share})


if __name__ == "__main__":
    main()
