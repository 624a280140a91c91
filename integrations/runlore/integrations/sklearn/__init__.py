"""scikit-learn: after ``autolog()`` each fit is a run, or a step of the run that is open."""

from runlore.integrations.sklearn.patching import autolog

__all__ = ["autolog"]
