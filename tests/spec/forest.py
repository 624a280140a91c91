"""scikit-learn's classifier, fitted the way the specification's page calls it: with the whole frame."""

from __future__ import annotations

import pandas as pd
from sklearn.ensemble import RandomForestClassifier as SklearnForest


class RandomForestClassifier(SklearnForest):
    """Takes the last column as the target."""

    def fit(self, dataset: pd.DataFrame) -> RandomForestClassifier:  # type: ignore[override]
        super().fit(dataset.iloc[:, :-1], dataset.iloc[:, -1])
        return self
