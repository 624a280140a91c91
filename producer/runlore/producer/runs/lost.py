"""Code that lost its context: no run or step is known here, though one is open elsewhere.

Pools, executors and child processes do not always inherit a context. A log call must not fail the step for that: what
has no place is logged on this process, ``process:<host>/<pid>/<start>``, linked to the run if one is known.
"""

from __future__ import annotations

import threading

from runlore.producer.actor import this_process
from runlore.producer.lifecycle import default_producer
from runlore.producer.runs.place import PROCESS, RUN, Run, current_step, is_worker
from runlore.producer.warn import warn_lost
from runlore.schemas.errors import MissingContextError
from runlore.schemas.events import AnyFact, MetadataLogged, MetadataRetracted, NoteAdded, TagsChanged
from runlore.schemas.references import EntityRef


def is_lost() -> bool:
    """Tell code that cannot know its place from code that has none.

    The first: while a run or step is open elsewhere in this process, in threads that may outlive their run, and in
    worker processes and children of a process with an open run. Code in a `with run_context(…)` knows its place.
    """
    if RUN.get() is not None or current_step() is not None:
        return False
    settings = default_producer().settings
    if PROCESS.open or PROCESS.forked_inside or settings.run or settings.parent_process or is_worker():
        return True
    return PROCESS.opened and threading.current_thread() is not threading.main_thread()


def lost_target(problem: str) -> EntityRef:
    """The process, to log on in place of a lost run or step; warns once a process.

    Raises MissingContextError(`problem`) where no context was lost.
    """
    if not is_lost():
        raise MissingContextError(problem)
    process = this_process()
    warn_lost(str(process))
    return process


def run_of_lost(fact: AnyFact) -> Run | None:
    """The run to link this process with, when `fact` is about the process: the only one that is open."""
    if not isinstance(fact, (MetadataLogged, MetadataRetracted, NoteAdded, TagsChanged)):
        return None
    return PROCESS.innermost()[0] if fact.targets[0] is this_process() else None


def log_lost_step(step: EntityRef) -> None:
    """Record on the process that `step` got its own run because its pool's run could not be told."""
    process = this_process()
    warn_lost(str(process))
    fact = MetadataLogged((process,), {"steps": {step.name: str(step)}}, True)
    default_producer().emit_packed(fact, None, None)
