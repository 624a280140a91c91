"""The names of the face, for type checkers; `__init__.py` loads them lazily."""

from runlore.producer import ArtifactConfig as ArtifactConfig
from runlore.producer import Model as Model
from runlore.producer import Producer as Producer
from runlore.producer import Receipt as Receipt
from runlore.producer import add_note as add_note
from runlore.producer import bulk_log_metadata as bulk_log_metadata
from runlore.producer import configure as configure
from runlore.producer import flush as flush
from runlore.producer import get_step_context as get_step_context
from runlore.producer import in_context as in_context
from runlore.producer import log_artifact_metadata as log_artifact_metadata
from runlore.producer import log_metadata as log_metadata
from runlore.producer import log_model_metadata as log_model_metadata
from runlore.producer import log_run_metadata as log_run_metadata
from runlore.producer import log_step_metadata as log_step_metadata
from runlore.producer import pipeline as pipeline
from runlore.producer import retract_metadata as retract_metadata
from runlore.producer import run_context as run_context
from runlore.producer import set_model_stage as set_model_stage
from runlore.producer import step as step
from runlore.producer import step_context as step_context
from runlore.producer import use_artifact as use_artifact
from runlore.query import Client as Client
from runlore.schemas import DType as DType
from runlore.schemas import EntityRef as EntityRef
from runlore.schemas import MetadataTypeError as MetadataTypeError
from runlore.schemas import MissingContextError as MissingContextError
from runlore.schemas import NotFoundError as NotFoundError
from runlore.schemas import Path as Path
from runlore.schemas import RunloreError as RunloreError
from runlore.schemas import StorageSize as StorageSize
from runlore.schemas import Uri as Uri

__version__: str
