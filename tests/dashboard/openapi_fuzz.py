"""Requests made from an OpenAPI document, and its answers checked against it: the parts of JSON Schema that ours uses."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Query = list[tuple[str, str]]
_KNOWN = {
    "$ref", "type", "properties", "required", "items", "anyOf", "enum", "additionalProperties", "format", "title",
    "description", "contentEncoding", "default", "minimum", "maximum", "minLength", "maxLength", "minItems", "prefixItems",
    "maxItems",
}  # fmt: skip
_TYPES: dict[str, Any] = {
    "string": str, "array": list, "object": dict, "boolean": bool, "null": type(None), "number": (int, float),
    "integer": int,
}  # fmt: skip


def problems(schema: dict[str, Any], value: Any, components: dict[str, Any], at: str = "$") -> Iterator[str]:
    """Where a value does not fit a schema."""
    assert set(schema) <= _KNOWN, f"a schema with {set(schema) - _KNOWN}: teach it to this check"
    if "$ref" in schema:
        yield from problems(components[schema["$ref"].rpartition("/")[2]], value, components, at)
        return
    if "anyOf" in schema:
        if all(any(True for _ in problems(one, value, components, at)) for one in schema["anyOf"]):
            yield f"{at}: {value!r} is none of {schema['anyOf']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is not in {schema['enum']}"
    if "type" in schema:
        kind = _TYPES[schema["type"]]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            yield f"{at}: {value!r} is no {schema['type']}"
            return
    yield from _inside(schema, value, components, at)


def _inside(schema: dict[str, Any], value: Any, components: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, (int, float)) and not schema.get("minimum", -math.inf) <= value <= schema.get(
        "maximum", math.inf
    ):
        yield f"{at}: {value} is out of bounds"
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf):
            yield f"{at}: a text of {len(value)} characters"
        if schema.get("format") == "date-time" and dt.datetime.fromisoformat(value).tzinfo is None:
            yield f"{at}: {value!r} has no zone"
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from problems(schema.get("items", {}), item, components, f"{at}[{number}]")
    if isinstance(value, dict):
        own, more = schema.get("properties", {}), schema.get("additionalProperties", {})
        yield from (f"{at}: {name} is missing" for name in schema.get("required", ()) if name not in value)
        for name, item in value.items():
            if name not in own and more is False:
                yield f"{at}: {name} is unknown"
            elif name in own or more is not True:
                yield from problems(own.get(name, more), item, components, f"{at}.{name}")


def allowed(parameter: dict[str, Any], texts: list[str]) -> bool:
    """Return whether the description allows a parameter to be given so: what it says of the texts, not what they mean."""
    schema = parameter["schema"]
    if parameter["required"] and not any(text.strip() for text in texts):
        return False
    if parameter.get("allowEmptyValue"):
        texts = [text for text in texts if text.strip()]
    if schema["type"] != "array" and len(texts) > 1:
        return False
    one = schema.get("items", schema)
    return all(_fits(one, text) for text in texts)


def _fits(schema: dict[str, Any], text: str) -> bool:
    if schema["type"] != "integer":
        return not any(problems(schema, text.strip(), {}))
    return bool(re.fullmatch(r"[0-9]{1,40}", text.strip())) and not any(problems(schema, int(text), {}))


def texts_of(parameter: dict[str, Any], known: dict[str, list[str]]) -> st.SearchStrategy[str]:
    """Texts for a parameter: known ones, those at and beyond its bounds, and any."""
    schema = parameter["schema"].get("items", parameter["schema"])
    usual = st.sampled_from([*known.get(parameter["name"], ["x"]), *schema.get("enum", [])])
    odd = st.sampled_from(
        [
            "",
            " ",
            "-1",
            "0",
            "1.5",
            "1e3",
            "true",
            "null",
            "\x00",
            "%00",
            "٣",
            "9" * 5000,
            "\u202e",
            "'\"--",
            "x" * 2000,
        ]
    )
    if schema["type"] == "integer":
        low, high = schema["minimum"], schema["maximum"]
        bounds = st.sampled_from([low - 1, low, low + 1, 20, high - 1, high, high + 1]).map(str)
        return st.one_of(bounds, bounds, odd, st.integers().map(str))
    return st.one_of(usual, usual, usual, odd, st.text(max_size=20))


def queries(operation: dict[str, Any], known: dict[str, list[str]]) -> st.SearchStrategy[Query]:
    """Queries of an operation: required parameters mostly, others now and then, some of them twice."""
    parts: list[st.SearchStrategy[Query]] = []
    for parameter in operation["parameters"]:
        name = parameter["name"]
        one = texts_of(parameter, known).map(lambda text, name=name: [(name, text)])
        twice = st.tuples(one, one).map(lambda pair: pair[0] + pair[1])
        absent: st.SearchStrategy[Query] = st.just([])
        given = [one] * 6 + [twice, absent]
        parts.append(st.one_of(given if parameter["required"] else [one, absent, absent, absent, absent, twice]))
    return st.tuples(*parts).map(lambda found: [pair for part in found for pair in part])
