"""Read what was logged: current values, history, any past position; read-only."""

from runlore.query.client import Client
from runlore.query.compare.comparison import Comparison
from runlore.query.compare.diff import Difference, Differences
from runlore.query.entities import ArtifactVersion, ModelVersion, PipelineRun, StepRun
from runlore.query.entity import Entity
from runlore.query.entries import Entry, Metadata
from runlore.query.evidence import LoggedEvent, SignedCheckpoint
from runlore.query.find.search import Found
from runlore.query.frames import Frame
from runlore.query.history import History
from runlore.query.lineage import Edge, Lineage
from runlore.query.plain import plain
from runlore.query.records import difference_record, entity_record, entry_record, logged_record, whole_record
from runlore.query.series import Series
from runlore.query.text_search import Hit, Hits
from runlore.query.time.parse import parse_when
from runlore.query.view.budget import decoding_at_most
from runlore.query.watch.changes import Change
from runlore.query.watch.feed import AsyncWatch, Feed, Watch

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
    "Frame",
    "History",
    "Hit",
    "Hits",
    "Lineage",
    "LoggedEvent",
    "Metadata",
    "ModelVersion",
    "PipelineRun",
    "Series",
    "SignedCheckpoint",
    "StepRun",
    "Watch",
    "decoding_at_most",
    "difference_record",
    "entity_record",
    "entry_record",
    "logged_record",
    "parse_when",
    "plain",
    "whole_record",
]
