"""Names as data frames, Enums and loops give them: taken exactly, or refused before anything is stored."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pytest

from runlore.cli.stack import EmbeddedStack
from runlore.producer import (
    ArtifactConfig,
    Model,
    Producer,
    add_note,
    bulk_log_metadata,
    configure,
    log_artifact_metadata,
    log_metadata,
    log_model_metadata,
    log_run_metadata,
    log_step_metadata,
    retract_metadata,
    run_context,
    set_model_stage,
    step,
    step_context,
    use_artifact,
)
from runlore.query import Client
from runlore.schemas import (
    ArgumentError,
    EntityRef,
    Event,
    EventLimitError,
    MetadataLogged,
    NoteAdded,
    RunFinished,
    RunStarted,
    Settings,
    SettingsError,
)


class Stage(str, enum.Enum):  # noqa: UP042 -- formats as its name, unlike StrEnum: what people still write
    PRODUCTION = "production"


class Name(enum.Enum):
    CHURN = "churn"
    TRAIN = "train"
    SECOND = 2


def test_names_of_numpy_and_enums_are_written_and_read_as_the_texts_they_are(stack: EmbeddedStack) -> None:
    names: Any = np.array(["left", "right"])
    churn: Any = Name.CHURN

    @step(name=np.str_("fit"))
    def fit() -> Annotated[list[int], ArtifactConfig(name=np.str_("weights"), version=np.int64(4))]:  # type: ignore[arg-type]
        return [1]

    for name in np.unique(names):
        log_artifact_metadata({"rows": 1}, name, np.int64(2))
    with run_context(np.str_("nightly"), run_id=np.str_("r1"), name=np.str_("a\nb"), model=Model(churn, Name.SECOND)):  # type: ignore[arg-type]
        with step_context(Name.TRAIN):  # type: ignore[arg-type]
            use_artifact(names[0], np.int64(2))
            log_step_metadata({"a": {0: 1, True: 2}})
            log_model_metadata({"in_context": 1})
        fit()
    log_model_metadata({"b": 1}, churn, Name.SECOND)  # type: ignore[arg-type]
    set_model_stage(churn, Stage.PRODUCTION, np.int64(2), reason=np.str_("best"))  # type: ignore[arg-type]
    log_model_metadata({"c": 1}, churn, Stage.PRODUCTION)
    bulk_log_metadata({"d": 1}, model_versions=[(churn, Name.SECOND), np.str_("churn@2")])  # type: ignore[list-item]
    retract_metadata("step:r1/train", [("a", 0)], reason=Name.TRAIN)  # type: ignore[arg-type, list-item]
    log_metadata({"odd": 1}, EntityRef(np.str_("data"), names[1], Name.SECOND), merge=np.bool_(False))  # type: ignore[arg-type]
    receipt = add_note(np.str_("done"), np.str_("run:r1"))

    client = Client()
    client.wait_for(receipt, 60)
    assert client.quarantine() == []
    assert client.get_artifact_version(names[0], np.int64(2)).metadata == {"rows": 1}  # type: ignore[arg-type]
    found = client.get_model_version(churn, Stage.PRODUCTION)
    assert (found.version, found.metadata) == ("2", {"in_context": 1, "b": 1, "c": 1, "d": 1})
    assert client.get_model_version(churn, Name.SECOND).stage == "production"  # type: ignore[arg-type]
    assert [one.version for one in client.list_model_versions(churn)] == ["2"]
    run = client.get_pipeline_run(np.str_("nightly"))
    assert (run.fields["name"], set(run.steps)) == ("a\nb", {"train", "fit"})
    assert run.steps[Name.TRAIN].metadata == {"a": {"true": 2}}  # type: ignore[index]
    assert [output.reference for output in run.steps["fit"].outputs] == ["artifact:weights@4"]
    assert [entry.value for entry in run.steps["train"].history(("a", 0))] == [1, None]  # type: ignore[arg-type]
    assert client.get(np.str_("data:right@2")).metadata == {"odd": 1}


ZERO_DIM: Any = np.array("model:m")
"""An array without dimensions, as one column's `.to_numpy()` squeezed is: it says that it can be iterated."""

REFUSED: list[Callable[[], object]] = [
    lambda: log_model_metadata({"a": 1}, "m", 2.0),  # type: ignore[arg-type]
    lambda: log_model_metadata({"a": 1}, "m", True),
    lambda: log_model_metadata({"a": 1}, 5),  # type: ignore[arg-type]
    lambda: log_artifact_metadata({"a": 1}, "\ud800"),
    lambda: log_step_metadata({"a": 1}, 5, run_id="r"),  # type: ignore[arg-type]
    lambda: log_step_metadata({"a": 1}, "s", pipeline_name_id_or_prefix=b"p"),  # type: ignore[arg-type]
    lambda: log_run_metadata({"a": 1}, "\x00"),
    lambda: log_metadata({"a": 1}, 5),  # type: ignore[arg-type]
    lambda: log_metadata({"a": 1}, [5]),  # type: ignore[list-item]
    lambda: bulk_log_metadata({"a": 1}, pipeline_runs=[5]),  # type: ignore[list-item]
    lambda: bulk_log_metadata({"a": 1}, model_versions=[("m", 1, 2)]),  # type: ignore[list-item]
    lambda: bulk_log_metadata({"a": 1}, model_versions=[5]),  # type: ignore[list-item]
    lambda: set_model_stage("m", "latest"),
    lambda: set_model_stage("m", 5),  # type: ignore[arg-type]
    lambda: set_model_stage("m", "production", reason=5),  # type: ignore[arg-type]
    lambda: add_note(5, "model:m"),  # type: ignore[arg-type]
    lambda: retract_metadata("model:m", 5, "why"),  # type: ignore[arg-type]
    lambda: retract_metadata("model:m", [()], "why"),
    lambda: retract_metadata("model:m", "", "why"),
    lambda: retract_metadata("model:m", ["a", b"b"], "why"),  # type: ignore[list-item]
    lambda: retract_metadata("model:m", "a", 5),  # type: ignore[arg-type]
    lambda: retract_metadata("model:m", [("a", [])], "why"),  # type: ignore[list-item]
    lambda: retract_metadata("model:m", [("a", {})], "why"),  # type: ignore[list-item]
    lambda: retract_metadata("model:m", ZERO_DIM, "why"),
    lambda: retract_metadata("model:m", "a", pd.NA),
    lambda: log_metadata({"a": 1}, ZERO_DIM),
    lambda: log_metadata({"a": 1}, pd.NA),
    lambda: log_metadata({"a": 1}, EntityRef("step", "s", run=pd.NA)),
    lambda: log_step_metadata({"a": 1}, "s", run_id=pd.NA),
    lambda: log_step_metadata({"a": 1}, "s", pipeline_name_id_or_prefix=pd.NA),
    lambda: bulk_log_metadata({"a": 1}, 5),  # type: ignore[arg-type]
    lambda: add_note(pd.NA, "model:m"),
    lambda: run_context("p", name=pd.NA),
    lambda: run_context("p", model=pd.NA),
    lambda: run_context(pd.NA),
    lambda: run_context("p", name=5),  # type: ignore[arg-type]
    lambda: run_context("p", name="\ud800"),
    lambda: run_context(5),  # type: ignore[arg-type]
    lambda: run_context("p", model=5),  # type: ignore[arg-type]
    lambda: run_context("p", model=Model("m", 2.0)),  # type: ignore[arg-type]
    lambda: step_context(""),
    lambda: Producer(project="a\nb"),
    lambda: configure(project=""),
]


@pytest.mark.parametrize("call", REFUSED, ids=range(len(REFUSED)))
def test_a_name_that_cannot_be_stored_is_an_error_of_ours(settings: Settings, call: Callable[[], object]) -> None:
    configure(mode="disabled")
    with pytest.raises((ArgumentError, SettingsError)):
        call()


def test_one_text_where_several_are_expected_is_one(emitted: Callable[[], list[Event]]) -> None:
    bulk_log_metadata({"a": 1}, "model:m@1", pipeline_runs="abc", step_runs="step:r/s", model_versions="m@2")
    (event,) = emitted()
    assert isinstance(event.fact, MetadataLogged)
    assert list(map(str, event.fact.targets)) == ["model:m@1", "run:abc", "step:r/s", "model:m@2"]


@pytest.mark.parametrize(
    "fact",
    [
        NoteAdded((EntityRef("<script>", "m"),), "x"),
        RunStarted("p", "\ud800"),
        RunFinished("done"),  # type: ignore[arg-type]
        MetadataLogged((EntityRef("model", "m", run="\ud800", version=2.0),), {"a": 1}),  # type: ignore[arg-type]
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_the_native_producer_checks_the_same(settings: Settings, fact: Any) -> None:
    with Producer(mode="disabled") as producer, pytest.raises(ArgumentError):
        producer.emit_nowait(fact, run="r", step="s")


def test_an_event_about_too_much_is_refused_before_it_is_stored(settings: Settings) -> None:
    many = {f"k{number}": number for number in range(1100)}
    entities = [f"data:{number}" for number in range(1000)]
    for mode in ("offline", "disabled"):
        configure(mode=mode)
        log_metadata(many, entities[:900])
        with pytest.raises(EventLimitError, match="1,100 values for each of 1,000 entities"):
            log_metadata(many, entities)
    configure(mode="disabled")


def test_an_environment_that_is_no_text_breaks_no_call(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "b\udcffb")
    monkeypatch.setenv("TRACEPARENT", "\udcff")
    configure(mode="offline")
    log_metadata({"a": 1}, "model:m")
    configure(mode="disabled")
