"""The drawing of a lineage: data flows to the right, nothing is left out, circles end."""

from __future__ import annotations

from pathlib import Path

from runlore.dashboard.graphs import Graph, graph_of
from runlore.schemas.events import ArtifactVersionConsumed, ArtifactVersionProduced, RunStarted, StepStarted
from runlore.schemas.references import parse_ref
from tests.events import LogBuilder
from tests.query.views import client_of

RUN = "run-1"


def write(log: LogBuilder) -> None:
    """load → data → (fit, rate); fit → weights → rate → report."""
    log.add(RunStarted("training", "night", model=parse_ref("model:churn")), run=RUN)
    log.add(StepStarted(), run=RUN, step="load")
    log.add(ArtifactVersionProduced(parse_ref("artifact:data")), run=RUN, step="load")
    for step in ("fit", "rate"):
        log.add(StepStarted(), run=RUN, step=step)
        log.add(ArtifactVersionConsumed(parse_ref("artifact:data@1")), run=RUN, step=step)
    log.add(ArtifactVersionProduced(parse_ref("artifact:weights")), run=RUN, step="fit")
    log.add(ArtifactVersionConsumed(parse_ref("artifact:weights@1")), run=RUN, step="rate")
    log.add(ArtifactVersionProduced(parse_ref("artifact:report")), run=RUN, step="rate")


def columns(graph: Graph) -> dict[str, int]:
    places = sorted({node.x for node in graph.nodes})
    return {node.entity.reference: places.index(node.x) for node in graph.nodes}


def test_data_flows_to_the_right(tmp_path: Path) -> None:
    with client_of(tmp_path, write) as client:
        graph = graph_of(client.get("artifact:weights@1"), 10)
    at = columns(graph)
    assert at["step:run-1/load"] < at["artifact:data@1"] < at["step:run-1/fit"] < at["artifact:weights@1"]
    assert at["artifact:weights@1"] < at["step:run-1/rate"] < at["artifact:report@1"]
    assert at["step:run-1/rate"] < at["run:run-1"] < at["model:churn@1"]
    assert [node.entity.reference for node in graph.nodes if node.root] == ["artifact:weights@1"]
    assert len({(node.x, node.y) for node in graph.nodes}) == len(graph.nodes)


def test_every_link_is_listed_and_a_run_gets_one_line_from_where_its_flow_ends(tmp_path: Path) -> None:
    with client_of(tmp_path, write) as client:
        root = client.get("artifact:weights@1")
        graph = graph_of(root, 10)
        edges = {*root.upstream(10).edges, *root.downstream(10).edges}
    assert {(source.reference, word, target.reference) for source, word, target in graph.links} == {
        (edge.source.reference, edge.relation, edge.target.reference) for edge in edges
    }
    drawn = [edge.title for edge in graph.edges if " ran " in edge.title]
    assert drawn == ["run:run-1 ran step:run-1/rate"]


def test_a_line_past_other_boxes_goes_below_them(tmp_path: Path) -> None:
    with client_of(tmp_path, write) as client:
        graph = graph_of(client.get("artifact:report@1"), 10)
    (past,) = [edge for edge in graph.edges if edge.title == "step:run-1/rate consumed artifact:data@1"]
    at = {node.entity.reference: node for node in graph.nodes}
    assert past.low > at["step:run-1/fit"].y + graph.box[1]
    assert past.low < graph.height


def test_a_circle_is_drawn_and_ends(tmp_path: Path) -> None:
    def circle(log: LogBuilder) -> None:
        log.add(StepStarted(), run=RUN, step="refine")
        log.add(ArtifactVersionProduced(parse_ref("artifact:state@1")), run=RUN, step="refine")
        log.add(ArtifactVersionConsumed(parse_ref("artifact:state@1")), run=RUN, step="refine")

    with client_of(tmp_path, circle) as client:
        graph = graph_of(client.get("artifact:state@1"), 10)
    assert {edge.title for edge in graph.edges} == {
        "step:run-1/refine produced artifact:state@1",
        "step:run-1/refine consumed artifact:state@1",
    }


def test_an_entity_without_links_is_a_graph_of_one(tmp_path: Path) -> None:
    with client_of(tmp_path, lambda log: log.log("dataset:d@1", {"a": 1})) as client:
        graph = graph_of(client.get("dataset:d@1"))
    assert (len(graph.nodes), graph.edges, graph.links, graph.cut) == (1, [], [], False)


def test_a_wide_graph_stays_within_its_nodes(tmp_path: Path) -> None:
    def wide(log: LogBuilder) -> None:
        log.add(StepStarted(), run=RUN, step="split")
        for number in range(200):
            log.add(ArtifactVersionProduced(parse_ref(f"artifact:part{number}")), run=RUN, step="split")

    with client_of(tmp_path, wide) as client:
        graph = graph_of(client.get("step:run-1/split"))
    assert graph.cut
    assert len(graph.nodes) <= 121
