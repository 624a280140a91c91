"""Read what was logged: current values, history, any past position; read-only."""

from runlore.query.client import Client
from runlore.query.comparison import Comparison
from runlore.query.differences import Difference, Differences
from runlore.query.entities import ArtifactVersion, Entity, ModelVersion, PipelineRun, StepRun
from runlore.query.entries import Entry, Metadata
from runlore.query.finding import Found
from runlore.query.histories import History
from runlore.query.series import Series
from runlore.query.whens import parse_when

__all__ = [
    "ArtifactVersion",
    "Client",
    "Comparison",
    "Difference",
    "Differences",
    "Entity",
    "Entry",
    "Found",
    "History",
    "Metadata",
    "ModelVersion",
    "PipelineRun",
    "Series",
    "StepRun",
    "parse_when",
]
