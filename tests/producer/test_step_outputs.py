"""The outputs of a step: read from its return annotation, and linked to the steps that take them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Any, NamedTuple, Optional

import pytest
from context_tools import outputs, targets

from runlore.producer import (
    ArtifactConfig,
    log_artifact_metadata,
    run_context,
    step,
    step_context,
    use_artifact,
)
from runlore.schemas import (
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    EntityRef,
    MissingContextError,
)

pytestmark = pytest.mark.usefixtures("offline")


class Split(NamedTuple):
    train: Annotated[list[int], ArtifactConfig(name="train_rows")]
    test: list[int]


class Scores(NamedTuple):
    accuracy: float
    loss: float


def test_outputs_are_found_in_optionals_named_tuples_and_awaitables(emitted: Any) -> None:
    @step
    def optional() -> Optional[Annotated[list[int], "a"]]:  # noqa: UP045 -- as older code writes it
        return [1]

    @step
    def union() -> Annotated[list[int], "b"] | None:
        return [1]

    @step
    def inside() -> Annotated[list[int] | None, "c"]:
        return None

    @step
    def pair(found: bool) -> tuple[Annotated[list[int], "d"], Annotated[list[int], "e"]] | None:
        return ([1], [2]) if found else None

    @step
    def split() -> Split:
        return Split([1], [2])

    @step
    def scores() -> Scores:
        return Scores(0.9, 0.1)

    @step
    def awaited() -> Awaitable[Annotated[list[int], "f"]]:
        async def work() -> list[int]:
            return [1]

        return work()

    async def main() -> None:
        optional(), union(), inside(), pair(True), pair(False), split(), scores()
        await awaited()

    with run_context("nightly"):
        asyncio.run(main())
    assert outputs(emitted()) == {
        "optional": ["a"], "union": ["b"], "inside": ["c"], "pair": ["d", "e"], "split": ["train_rows", "test"],
        "scores": ["output"], "awaited": ["f"],
    }  # fmt: skip


def test_an_annotation_is_read_with_what_is_defined_around_the_function(emitted: Any) -> None:
    def make() -> Any:
        name = "local"
        Rows = Annotated[list[int], name]  # noqa: N806 -- a type

        @step
        def early(flag: DoesNotExist = False) -> Rows:  # type: ignore  # noqa: F821
            return later() if flag else [len(Rows.__metadata__)]

        early()  # `later` has no value yet

        def later() -> list[int]:
            return [2]

        return early

    with run_context("nightly"):
        assert make()(True) == [2]
    assert outputs(emitted()) == {"early": ["local"], "early_2": ["local"]}


def test_outputs_come_from_the_return_annotation(emitted: Any) -> None:
    @step
    def named() -> Annotated[dict[str, int], ArtifactConfig(name="model", is_model_artifact=True)]:
        log_artifact_metadata({"n": 1})
        return {"a": 1}

    @step
    def several() -> tuple[Annotated[Any, "x"], int]:
        with pytest.raises(MissingContextError, match="x, output_1"):
            log_artifact_metadata({"n": 2})
        return object(), 5

    @step
    def unresolvable(a: DoesNotExist = 1) -> Annotated[int, "count"]:  # type: ignore[name-defined]  # noqa: F821
        return 1

    @step
    def wrong() -> tuple[Annotated[Any, "x"], Annotated[Any, "y"]]:
        return None  # type: ignore[return-value]

    @step
    def nothing() -> None:
        with pytest.raises(MissingContextError, match="declares no output"):
            log_artifact_metadata({"n": 2})

    with run_context("nightly"):
        for function in (named, several, unresolvable, wrong, nothing):
            function()
    produced = [event.fact for event in emitted() if isinstance(event.fact, ArtifactVersionProduced)]
    assert [(fact.artifact.name, fact.data_type, fact.is_model_artifact) for fact in produced] == [
        ("model", "dict", True), ("x", "object", False), ("output_1", "int", False), ("count", "int", False),
        ("output", "NoneType", False),
    ]  # fmt: skip
    assert targets(emitted()) == {1: ("artifact:model",)}


def test_only_the_very_object_links_steps(emitted: Any) -> None:
    @step
    def load() -> list[int]:
        return [1, 2]

    @step
    def count() -> int:
        return 7

    @step
    def name() -> tuple[str, str]:
        return ("a", "b")

    @step
    def use(*values: Any) -> None: ...

    with run_context("nightly", run_id="r1"):
        data = load()
        use(data, data)
        use([1, 2], 7, ("a", "b"))
        use(count(), *name())
        use_artifact_after(data)
    consumed = [(event.step, event.fact) for event in emitted() if isinstance(event.fact, ArtifactVersionConsumed)]
    made_by = EntityRef("step", "load", run="r1")
    assert consumed == [
        ("use", ArtifactVersionConsumed(EntityRef("artifact", "output"), made_by)),
        ("manual", ArtifactVersionConsumed(EntityRef("artifact", "old", "2"))),
    ]


def use_artifact_after(_: Any) -> None:
    with step_context("manual"):
        use_artifact("old", 2)
    with pytest.raises(MissingContextError):
        use_artifact("old")
