"""Read what was logged: current values, history, any past position; read-only."""

from runlore.query.changes import Change
from runlore.query.client import Client
from runlore.query.comparison import Comparison
from runlore.query.differences import Difference, Differences
from runlore.query.entities import ArtifactVersion, Entity, ModelVersion, PipelineRun, StepRun
from runlore.query.entries import Entry, Metadata
from runlore.query.feed import AsyncWatch, Feed, Watch
from runlore.query.finding import Found
from runlore.query.histories import History
from runlore.query.lineage import Edge, Lineage
from runlore.query.searching import Hit, Hits
from runlore.query.series import Series
from runlore.query.whens import parse_when

__all__ = [
    "ArtifactVersion",
    "AsyncWatch",
    "Change",
    "Client",
    "Comparison",
    "Difference",
    "Differences",
    "Edge",
    "Entity",
    "Entry",
    "Feed",
    "Found",
    "History",
    "Hit",
    "Hits",
    "Lineage",
    "Metadata",
    "ModelVersion",
    "PipelineRun",
    "Series",
    "StepRun",
    "Watch",
    "parse_when",
]
