"""The fold: a pure function from the ordered log to the rows of a view."""

from runlore.projector.fold.fold import FOLD_VERSION, Fold, FoldResult

__all__ = ["FOLD_VERSION", "Fold", "FoldResult"]
