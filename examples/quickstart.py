"""Log metadata from two steps and read it back, with its past. Needs `runlore up` in another terminal."""

from typing import Annotated

from runlore import Client, Model, StorageSize, log_metadata, log_model_metadata, log_step_metadata, pipeline, step


@step
def load() -> Annotated[list[float], "heights"]:
    heights = [1.62, 1.71, 1.80, 1.93]
    log_step_metadata({"rows": len(heights), "size": StorageSize(8 * len(heights))})
    return heights


@step
def fit(heights: list[float]) -> float:
    for epoch in range(1, 4):
        log_model_metadata({"evaluation_metrics": {"loss": 0.5**epoch}}, step=epoch)
    return sum(heights) / len(heights)


@pipeline(model=Model("quickstart"))
def training() -> float:
    return fit(load())


mean = training()
receipt = log_metadata({"mean_height": mean, "customer": "acme"}, "model:quickstart")

with Client() as client:
    client.wait_for(receipt)  # read your own writes
    model = client.get_model_version("quickstart")
    print(model.reference, model.metadata)
    for entry in model.history("evaluation_metrics.loss"):
        print(f"  epoch {entry.at_step}: loss {entry.value}, logged by step {entry.step}")
