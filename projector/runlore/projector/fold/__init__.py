"""The fold: a pure function from the ordered log to the rows of a read model."""

from runlore.projector.fold.fold import Fold, FoldResult
from runlore.projector.fold.projection import Projection, Recorded, on
from runlore.projector.fold.read_model import FOLD_VERSION, ReadModel

__all__ = ["FOLD_VERSION", "Fold", "FoldResult", "Projection", "ReadModel", "Recorded", "on"]
