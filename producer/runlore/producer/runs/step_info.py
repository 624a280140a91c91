"""The current step or run, as code inside it sees it."""

from __future__ import annotations

from typing import NamedTuple

from runlore.producer.runs.place import current_model, current_place, current_step, environment
from runlore.schemas.errors import MissingContextError
from runlore.schemas.references import EntityRef


class StepContext(NamedTuple):
    """The current step: the result of `get_step_context`."""

    step_name: str
    run_id: str
    pipeline_name: str | None
    model: EntityRef | None

    def env(self) -> dict[str, str]:
        """Variables with which a child process works inside this step."""
        return environment(self.run_id, self.step_name, self.pipeline_name, self.model)


def current_entity() -> EntityRef | None:
    """Return the step, else the run, that a call without an entity logs on here; None outside any."""
    run, step = current_place()
    if step is not None:
        return step.ref
    return None if run is None else EntityRef("run", run.id)


def get_step_context() -> StepContext:
    """The step this code is in. Raises MissingContextError outside a step.

    subprocess.run(command, env={**os.environ, **get_step_context().env()})
    """
    step = current_step()
    if step is None:
        raise MissingContextError("not inside a step: use @step or `with step_context(name):`")
    return StepContext(step.name, step.run.id, step.run.pipeline, current_model())
