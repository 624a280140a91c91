"""Read what was logged: current values, history, any past position; read-only."""

from runlore.query.client import Client
from runlore.query.comparison import Comparison, Difference
from runlore.query.entities import ArtifactVersion, Entity, ModelVersion, PipelineRun, StepRun
from runlore.query.entries import Entry, Metadata
from runlore.query.histories import History

__all__ = [
    "ArtifactVersion",
    "Client",
    "Comparison",
    "Difference",
    "Entity",
    "Entry",
    "History",
    "Metadata",
    "ModelVersion",
    "PipelineRun",
    "StepRun",
]
