from __future__ import annotations

import datetime as dt
from typing import Any

from runlore.producer.arguments import call_parameters


def train(rows: Any, lr: float = 0.1, *layers: int, seed: int | None = None, **options: Any) -> None: ...


def test_plain_arguments_are_parameters_with_defaults_and_by_name() -> None:
    assert call_parameters(train, ("s3://rows",), {}) == {"rows": "s3://rows", "lr": 0.1, "seed": None}
    assert call_parameters(train, (object(), 1, 8, 4), {"tag": "x", "deep": {"a": [1, (True, None)]}}) == {
        "lr": 1,
        "layers": (8, 4),
        "seed": None,
        "options": {"tag": "x", "deep": {"a": [1, (True, None)]}},
    }


def test_what_is_not_plain_is_left_out_and_nothing_fails() -> None:
    class Text(str): ...

    cycle: list[Any] = []
    cycle.append(cycle)
    odd = [
        b"x",
        dt.date(2026, 1, 1),
        "x" * 501,
        Text("x"),
        "\ud800",
        [object()],
        {1: 2},
        list(range(51)),
        cycle,
        {"x": {1}},
    ]
    for value in odd:
        assert call_parameters(train, (value,), {}) == {"lr": 0.1, "seed": None}, value
    assert call_parameters(train, (), {}) == {}  # the call itself says what is missing
    assert call_parameters(train, ("x" * 500,), {})["rows"] == "x" * 500


def test_what_a_function_changes_later_is_recorded_as_it_was() -> None:
    given = [1, 2]
    found = call_parameters(train, (given,), {})
    given.append(3)
    assert found["rows"] == [1, 2]


def test_what_a_name_calls_secret_is_never_recorded() -> None:
    def connect(
        user: str, password: str = "p", api_key: str = "k", auth_token: str = "t", config: Any = None
    ) -> None: ...

    assert call_parameters(connect, ("ada",), {}) == {"user": "ada", "config": None}
    assert call_parameters(connect, ("ada",), {"config": {"max_tokens": 9, "tokenizer": "bpe"}})["config"] == {
        "max_tokens": 9,
        "tokenizer": "bpe",
    }
    assert call_parameters(connect, ("ada",), {"config": {"host": "h", "db_password": "x"}}) == {"user": "ada"}


def test_an_argument_of_many_parts_or_a_huge_number_is_data() -> None:
    wide = {f"k{number}": ["x" * 400] * 50 for number in range(40)}
    assert call_parameters(train, (wide,), {"seed": 10**5000}) == {"lr": 0.1}
