"""A model with a run, data, code and packages behind it, to be exported; and one whose every text is hostile."""

from __future__ import annotations

from runlore.schemas import EntityRef
from runlore.schemas.events import (
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    ModelStageChanged,
    ModelVersionCreated,
    RunDescribed,
    RunFinished,
    RunStarted,
    StepStarted,
)
from runlore.schemas.values import pack_metadata
from tests.events import LogBuilder

SUM = "ab" * 32
HOSTILE = "x|y\n# <b>bold</b> --- [link](http://127.0.0.1) `code` \u202e\x1b[31m: \"quoted\" 'too' é 😀"


def write(log: LogBuilder) -> None:
    churn = EntityRef("model", "churn", "1")
    log.log("artifact:raw@1", {"uri": "s3://bucket/raw.parquet", "sha256": SUM, "rows": 1000})
    log.add(RunStarted("nightly", "blue", parameters=pack_metadata({"lr": 1e-05, "epochs": 3})), run="r1")
    environment = {"python": "3.11.7", "packages": {"numpy": "2.1.0", "scikit-learn": "1.5.2"}}
    git = {"commit": "1a2b3c", "dirty": False, "origin": "https://127.0.0.1/team/churn.git"}
    log.add(RunDescribed(pack_metadata({**environment, "git": git})), run="r1")
    log.add(StepStarted(), run="r1", step="clean")
    log.add(ArtifactVersionConsumed(EntityRef("artifact", "raw", "1")), run="r1", step="clean")
    log.add(ArtifactVersionProduced(EntityRef("artifact", "clean", "1")), run="r1", step="clean")
    log.add(StepStarted(), run="r1", step="train")
    log.add(ArtifactVersionConsumed(EntityRef("artifact", "clean", "1")), run="r1", step="train")
    log.add(ModelVersionCreated(churn), run="r1")
    metrics = {"accuracy": 0.93, "auc": 1e-07, "odd": float("nan")}
    texts = {"license": "apache-2.0", "task": "tabular-classification", "framework": "sklearn"}
    log.log(
        "model:churn@1", {"evaluation_metrics": metrics, "loss": 0.25, "size": 12, "sha256": SUM, **texts}, run="r1"
    )
    log.add(ModelStageChanged(churn, "production"))
    log.add(RunFinished("completed"), run="r1")


def write_hostile(log: LogBuilder) -> None:
    log.add(RunStarted("nightly", "red", parameters=pack_metadata({HOSTILE: HOSTILE})), run="r2")
    packages = {HOSTILE: HOSTILE, "": ""}
    log.add(
        RunDescribed(pack_metadata({"packages": packages, "git": {"commit": HOSTILE, "origin": HOSTILE}})), run="r2"
    )
    log.add(ModelVersionCreated(EntityRef("model", "evil", "1")), run="r2")
    texts = dict.fromkeys(("license", "task", "framework", "description", "architecture", "uri"), HOSTILE)
    log.log("model:evil@1", {**texts, HOSTILE: HOSTILE, "metrics": {HOSTILE: 1e22, "inf": float("inf")}}, run="r2")
