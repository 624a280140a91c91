"""Every example of the specification page, as written there: only import lines changed, ellipses filled in."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
import pytest
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score, precision_score, recall_score

import runlore.producer as producer
from runlore.cli.stack import EmbeddedStack
from runlore.producer import (
    ArtifactConfig,
    Model,
    get_step_context,
    log_artifact_metadata,
    log_model_metadata,
    log_step_metadata,
    pipeline,
    run_context,
    step,
    step_context,
)
from runlore.query import Client
from runlore.schemas import DType, MissingContextError, Path, StorageSize, Uri
from tests.spec.forest import RandomForestClassifier


def iris() -> pd.DataFrame:
    return load_iris(as_frame=True).frame


def scores(classifier: Any, dataset: pd.DataFrame) -> tuple[float, float, float]:
    truth, found = dataset.iloc[:, -1], classifier.predict(dataset.iloc[:, :-1])
    return (
        float(accuracy_score(truth, found)),
        float(precision_score(truth, found, average="macro")),
        float(recall_score(truth, found, average="macro")),
    )


def folded() -> Client:
    """A client that sees everything this process has logged."""
    client = Client()
    client.wait_for(producer.log_metadata({"read": "your writes"}, "marker:end"), 20)
    return client


@step
def process_data_step(dataframe: pd.DataFrame) -> pd.DataFrame:
    """Process a dataframe and log metadata about the result."""
    # Perform processing on the dataframe...
    processed_dataframe = dataframe.dropna()

    # Log metadata about the processed dataframe
    log_artifact_metadata(
        artifact_name="processed_data",
        metadata={
            "row_count": len(processed_dataframe),
            "columns": list(processed_dataframe.columns),
            "storage_size": StorageSize(processed_dataframe.memory_usage().sum()),
        },
    )
    return processed_dataframe


def test_artifact_metadata_from_inside_a_step(stack: EmbeddedStack) -> None:
    frame = iris()
    process_data_step(frame)
    artifact = folded().get_artifact_version("processed_data")
    assert artifact.run_metadata["row_count"].value == 150
    assert artifact.run_metadata["columns"].value == list(frame.columns)
    size = artifact.run_metadata["storage_size"].value
    assert (type(size), size) == (StorageSize, frame.memory_usage().sum())
    assert artifact.produced_by is not None
    assert artifact.produced_by.endswith("/process_data_step")


@step
def train_model(
    dataset: pd.DataFrame,
) -> Annotated[ClassifierMixin, ArtifactConfig(name="sklearn_classifier", is_model_artifact=True)]:
    """Train a model"""
    # Fit the model and compute metrics
    classifier = RandomForestClassifier().fit(dataset)
    accuracy, precision, recall = scores(classifier, dataset)

    # Log metadata for the model
    # This associates the metadata with the ZenML model, not the artifact
    log_model_metadata(
        metadata={
            "evaluation_metrics": {
                "accuracy": accuracy,
                "precision": precision,
                "recall": recall,
            }
        },
        # Omitted model_name will use the model in the current context
        model_name="zenml_model_name",
        # Omitted model_version will default to 'latest'
        model_version="zenml_model_version",
    )
    return classifier


def test_model_metadata_goes_to_the_model_and_not_to_the_artifact(stack: EmbeddedStack) -> None:
    train_model(iris())
    client = folded()
    model = client.get_model_version("zenml_model_name", "zenml_model_version")
    assert set(model.run_metadata["evaluation_metrics"].value) == {"accuracy", "precision", "recall"}
    artifact = client.get_artifact_version("sklearn_classifier")
    assert artifact.metadata == {}
    assert artifact.is_model_artifact
    assert artifact.data_type == "tests.spec.forest.RandomForestClassifier"


def test_an_omitted_model_name_is_the_model_in_context(stack: EmbeddedStack) -> None:
    @step
    def evaluate() -> None:
        log_model_metadata(metadata={"accuracy": 0.9})

    @pipeline(model=Model("churn"))
    def nightly() -> None:
        evaluate()

    nightly()
    nightly()
    client = folded()
    assert [version.version for version in client.list_model_versions("churn")] == ["2", "1"]
    assert client.get_model_version("churn", "1").metadata == {"accuracy": 0.9}
    with pytest.raises(MissingContextError, match="pass model_name="):
        log_model_metadata(metadata={"accuracy": 0.9})


def test_an_omitted_model_version_is_the_latest(stack: EmbeddedStack) -> None:
    for version in ("1", "2"):
        log_model_metadata({"v": version}, "zenml_model_name", version)
    log_model_metadata({"customer": "acme"}, "zenml_model_name")
    client = folded()
    assert client.get_model_version("zenml_model_name").metadata == {"v": "2", "customer": "acme"}
    assert client.get_model_version("zenml_model_name", "1").metadata == {"v": "1"}


@step(name="train_model")
def train_model_and_log_on_the_step(
    dataset: pd.DataFrame,
) -> Annotated[ClassifierMixin, ArtifactConfig(name="sklearn_classifier", is_model_artifact=True)]:
    """Train a model"""
    # Fit the model and compute metrics
    classifier = RandomForestClassifier().fit(dataset)
    accuracy, precision, recall = scores(classifier, dataset)

    # Log metadata at the step level
    # This associates the metadata with the ZenML step run
    log_step_metadata(
        metadata={
            "evaluation_metrics": {
                "accuracy": accuracy,
                "precision": precision,
                "recall": recall,
            }
        },
    )
    return classifier


def test_step_metadata_from_inside_shows_on_the_step_and_its_run(stack: EmbeddedStack) -> None:
    @pipeline
    def training() -> None:
        train_model_and_log_on_the_step(iris())
        assert get_step_context_outside() is None

    training()
    run = folded().get_pipeline_run()
    step_found = run.steps["train_model"]
    assert step_found.status == run.status == "completed"
    assert 0.9 < step_found.run_metadata["evaluation_metrics"].value["accuracy"] <= 1
    assert (
        run.run_metadata["train_model::evaluation_metrics"].value == step_found.run_metadata["evaluation_metrics"].value
    )


def get_step_context_outside() -> object | None:
    try:
        return get_step_context()
    except MissingContextError:
        return None


def test_step_metadata_from_outside_takes_names_and_run_id_as_strings(stack: EmbeddedStack) -> None:
    # run some step
    with run_context("my_pipeline", run_id="my_step_run_id"), step_context("my_step"):
        pass

    # subsequently log the metadata for the step
    log_step_metadata(
        metadata={
            "some_metadata": {
                "a_number": 3,
            }
        },
        pipeline_name_id_or_prefix="my_pipeline",
        step_name="my_step",
        run_id="my_step_run_id",
    )
    log_step_metadata({"by_pipeline": True}, step_name="my_step", pipeline_name_id_or_prefix="my_pipeline")
    log_step_metadata({"by_prefix": True}, step_name="my_step", pipeline_name_id_or_prefix="my_step_run")
    found = folded().get_pipeline_run("my_pipeline").steps["my_step"]
    assert found.metadata == {"some_metadata": {"a_number": 3}, "by_pipeline": True, "by_prefix": True}


def test_fetching_logged_metadata(stack: EmbeddedStack, capsys: pytest.CaptureFixture[str]) -> None:
    log_artifact_metadata({"metadata_key": "of the artifact"}, "my_artifact", "my_version")
    log_model_metadata({"metadata_key": "of the model"}, "my_model", "my_version")
    with run_context("any"), step_context("step_name"):
        log_step_metadata({"metadata_key": "of the step"})
    folded()

    client = Client()

    artifact = client.get_artifact_version("my_artifact", "my_version")

    model = client.get_model_version("my_model", "my_version")

    step = client.get_pipeline_run().steps["step_name"]

    print(artifact.run_metadata["metadata_key"].value)
    print(model.run_metadata["metadata_key"].value)
    print(step.run_metadata["metadata_key"].value)
    assert capsys.readouterr().out.splitlines() == ["of the artifact", "of the model", "of the step"]


def test_a_dict_of_dicts_makes_groups(stack: EmbeddedStack) -> None:
    with run_context("any"), step_context("make", outputs=("report",)):
        log_artifact_metadata(
            metadata={
                "model_metrics": {
                    "accuracy": 0.95,
                    "precision": 0.92,
                    "recall": 0.90,
                },
                "data_details": {
                    "dataset_size": StorageSize(1500000),
                    "feature_columns": ["age", "income", "score"],
                },
            }
        )
    report = folded().get_artifact_version("report")
    assert report.run_metadata["model_metrics"].value == {"accuracy": 0.95, "precision": 0.92, "recall": 0.90}
    details = report.run_metadata["data_details"].value
    assert details == {"dataset_size": StorageSize(1500000), "feature_columns": ["age", "income", "score"]}
    assert type(details["dataset_size"]) is StorageSize
    assert [entry.value for entry in report.history("model_metrics.recall")] == [0.90]


def test_special_types_come_back_as_such_also_when_nested(stack: EmbeddedStack) -> None:
    with run_context("any"), step_context("make", outputs=("dataset",)):
        log_artifact_metadata(
            metadata={
                "dataset_source": Uri("gs://my-bucket/datasets/source.csv"),
                "preprocessing_script": Path("/scripts/preprocess.py"),
                "column_types": {
                    "age": DType("int"),
                    "income": DType("float"),
                    "score": DType("int"),
                },
                "processed_data_size": StorageSize(2500000),
            }
        )
    found = folded().get_artifact_version("dataset").run_metadata
    assert found["dataset_source"].value == "gs://my-bucket/datasets/source.csv"
    assert [entry.type for entry in found.values()] == ["Uri", "Path", "dict", "StorageSize"]
    assert {type(value) for value in found["column_types"].value.values()} == {DType}
    assert type(found["preprocessing_script"].value) is Path
