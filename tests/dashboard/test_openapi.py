"""The API does what its description says: every answer has a status and a shape of it, and what it forbids is refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from runlore.dashboard.api import PREFIX
from runlore.dashboard.api.description import describe
from runlore.dashboard.api.parameters import PARAMETERS
from runlore.dashboard.api.routes import ENDPOINTS
from tests.dashboard.conftest import web_over
from tests.dashboard.demo_log import write_demo
from tests.dashboard.openapi_fuzz import Query, allowed, problems, queries
from tests.hostile_log import MODEL, write_hostile_texts
from tests.query.views import client_of

DOCUMENT = describe(ENDPOINTS, PREFIX)
COMPONENTS: dict[str, Any] = DOCUMENT["components"]["schemas"]
KNOWN = {
    "ref": ["model:churn@1", "model:churn@2", "model:churn@production", "run:run-1", "artifact:weights", "model:nobody", str(MODEL), "churn"],
    "other": ["model:churn@2", "nonsense"],
    "path": ["metrics", "metrics.accuracy", "labels", "table", "status", "nothing", "a.b.", '"'],
    "kind": ["model", "run", "step", "BAD KIND", "nothing"],
    "where": ["metrics.accuracy > 0.1", "not", "framework = 'sklearn'", "exists metrics"],
    "order_by": ["metrics.accuracy", "created", "name"],
    "as_of": ["1", "5", "99999", "2026-01-01T00:00:10Z", "2h ago", "yesterday", "soon"],
    "at": ["1", "5", "2026-01-01T00:00:10Z", "soon"],
    "since": ["1", "2026-01-01T00:00:10Z", "soon"],
    "project": ["default", "nobody's"],
    "q": ["acme", "churn", "a b"],
    "after": ["nonsense", "gA"],
}  # fmt: skip


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    def write(log: Any) -> None:
        write_demo(log)
        write_hostile_texts(log)

    with web_over(client_of(tmp_path_factory.mktemp("web"), write, archived=True)) as client:
        yield client


def check(web: TestClient, path: str, query: Query) -> int:
    """Ask, and compare the answer with the description; its status."""
    operation = DOCUMENT["paths"][path]["get"]
    answer = web.get(path, params=query)
    status = answer.status_code
    assert str(status) in operation["responses"], (query, status, answer.text[:500])
    assert status != 500, (query, answer.text[:500])
    content = operation["responses"][str(status)]["content"]
    assert answer.headers["content-type"] in content
    found = list(problems(content[answer.headers["content-type"]]["schema"], answer.json(), COMPONENTS))
    assert found == [], query
    given: dict[str, list[str]] = defaultdict(list)
    for name, text in query:
        given[name].append(text)
    wrong = [one["name"] for one in operation["parameters"] if not allowed(one, given[one["name"]])]
    if wrong:
        # What is said of a project or an entity that is not there comes first.
        assert status in (400, 404), (query, wrong, answer.text[:200])
    return status


OPERATIONS = list(DOCUMENT["paths"])


@pytest.mark.parametrize("path", OPERATIONS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_answer_is_one_that_the_description_has(web: TestClient, path: str, data: st.DataObject) -> None:
    check(web, path, data.draw(queries(DOCUMENT["paths"][path]["get"], KNOWN)))


@pytest.mark.slow
@pytest.mark.parametrize("path", OPERATIONS)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_answer_to_many_requests_is_one_that_the_description_has(
    web: TestClient, path: str, data: st.DataObject
) -> None:
    check(web, path, data.draw(queries(DOCUMENT["paths"][path]["get"], KNOWN)))


REQUIRED = {"ref": "model:churn@1", "path": "metrics.accuracy", "position": "1", "q": "acme"}


@pytest.mark.parametrize("path", OPERATIONS)
def test_each_parameter_is_refused_beyond_its_bounds_and_taken_within(web: TestClient, path: str) -> None:
    parameters = DOCUMENT["paths"][path]["get"]["parameters"]
    needed = {one["name"]: REQUIRED[one["name"]] for one in parameters if one["required"]}
    assert check(web, path, [*needed.items()]) == 200
    for one in parameters:
        name, schema = one["name"], one["schema"].get("items", one["schema"])
        good, bad = list[str](), list[str]()
        if schema["type"] == "integer":
            good += [str(schema["minimum"]), str(schema["maximum"])]
            bad += ["0", "-1", "1.5", "1e2", "x", str(schema["maximum"] + 1), "9" * 5000]
        if "enum" in schema:
            good += schema["enum"]
            bad += ["other", schema["enum"][0].upper() + "x"]
        if "maxLength" in schema:
            good, bad = [*good, "x" * schema["maxLength"]], [*bad, "x" * (schema["maxLength"] + 1)]
        for text in good:
            status = check(web, path, [*{**needed, name: text}.items()])
            # An event that is not there; a clock that events are not ordered by.
            assert status == 200 or (name in ("position", "clock") and status in (400, 404)), (name, text)
        for text in bad:
            assert check(web, path, [*{**needed, name: text}.items()]) == 400, (name, text)
        if not one["required"] and name != "q":
            assert check(web, path, [*{**needed, name: ""}.items()]) == 200, name
    for name in needed:
        assert check(web, path, [(other, text) for other, text in needed.items() if other != name]) == 400


def test_every_parameter_is_described_and_used() -> None:
    assert set(PARAMETERS) == {name for endpoint in ENDPOINTS for name in endpoint.known}


def test_the_check_of_answers_finds_what_does_not_fit() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"], "additionalProperties": False}
    assert list(problems(schema, {"a": "x"}, {})) == []
    assert len(list(problems(schema, {"a": "y", "b": 1}, {}))) == 2
    assert list(problems(schema, {}, {})) == ["$: a is missing"]
    assert list(problems({"type": "integer"}, True, {}))
    assert list(problems({"anyOf": [{"type": "null"}, {"type": "string", "format": "date-time"}]}, None, {})) == []
