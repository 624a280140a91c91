"""Arguments of steps and pipelines: recorded where asked for, plain values only, never a reason to fail."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from log_tools import read_outbox

from runlore.producer import configure, pipeline, run_context, step
from runlore.producer.runs.arguments import ParameterSelection, call_parameters, selection_from_setting
from runlore.schemas import RunStarted, Settings, SettingsError, StepStarted, read_settings


@pytest.fixture(autouse=True)
def _offline(settings: Settings) -> Iterator[None]:
    configure(mode="offline")
    yield
    configure(mode="disabled")


def train(rows: Any, lr: float = 0.1, *layers: int, seed: int | None = None, **options: Any) -> None: ...


def parameters(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    selection: ParameterSelection | None = None,
) -> dict[str, Any]:
    return call_parameters(inspect.signature(function), args, kwargs, selection or ParameterSelection(every=True))


def recorded(settings: Settings) -> list[dict[str, Any]]:
    """The parameters of every run and step, in order."""
    facts = [event.fact for event in read_outbox(settings)]
    return [fact.parameters for fact in facts if isinstance(fact, (RunStarted, StepStarted))]


def test_plain_arguments_are_parameters_with_defaults_and_by_name() -> None:
    assert parameters(train, ("s3://rows",), {}) == {"rows": "s3://rows", "lr": 0.1, "seed": None}
    assert parameters(train, (object(), 1, 8, 4), {"tag": "x", "deep": {"a": [1, (True, None)]}}) == {
        "lr": 1,
        "layers": (8, 4),
        "seed": None,
        "options": {"tag": "x", "deep": {"a": [1, (True, None)]}},
    }


def test_by_default_only_numbers_are_recorded() -> None:
    numbers = selection_from_setting(read_settings().record)
    given = ("s3://rows", 0.5, 8, 4), {"seed": None, "dry": True, "tag": "x", "n": 3, "deep": {"a": 1}}
    assert parameters(train, *given, numbers) == {"lr": 0.5, "layers": (8, 4), "options": {"dry": True, "n": 3}}
    assert parameters(train, (1, 2.0, 3, "x"), {}, numbers) == {"rows": 1, "lr": 2.0}
    for name in ("pin", "otp", "password", "auth_token", "api_key"):
        assert parameters(train, (None,), {name: 1234}, numbers) == {"lr": 0.1}


def test_record_says_which_arguments_are_recorded(settings: Settings) -> None:
    def fit(rows: str, lr: float = 0.1, optimizer: str = "adam", **more: Any) -> None: ...

    with run_context("nightly"):
        for record in (None, True, False, ["optimizer"], ("rows", "deep"), ["more"], []):
            step(record=record)(fit)("train.csv", deep={"a": "x"})
    pipeline(record=["lr"])(fit)("train.csv")
    pipeline(fit)("train.csv")
    assert recorded(settings)[1:] == [
        {"lr": 0.1},
        {"rows": "train.csv", "lr": 0.1, "optimizer": "adam", "more": {"deep": {"a": "x"}}},
        {},
        {"optimizer": "adam"},
        {"rows": "train.csv", "more": {"deep": {"a": "x"}}},
        {"more": {"deep": {"a": "x"}}},
        {},
        {"lr": 0.1},
        {"lr": 0.1},
    ]


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("none", {}),
        ("numbers", {"lr": 0.1}),
        ("all", {"rows": "train.csv", "lr": 0.1, "optimizer": "adam"}),
        ("rows, optimizer", {"rows": "train.csv", "optimizer": "adam"}),
        ("numbers,optimizer", {"lr": 0.1, "optimizer": "adam"}),
    ],
)
def test_a_setting_says_which_arguments_are_recorded_where_the_decorator_does_not(
    settings: Settings, setting: str, found: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNLORE_RECORD", setting)
    configure(mode="offline")

    @step
    def fit(rows: str, lr: float = 0.1, optimizer: str = "adam") -> None: ...

    fit("train.csv")
    assert recorded(settings) == [{}, found]


def test_a_wrong_selection_of_arguments_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(rows: str, lr: float = 0.1) -> None: ...

    with pytest.raises(TypeError, match=r"record='learning_rate': fit has no such argument; it has rows, lr"):
        step(record=["lr", "learning_rate"])(fit)
    for wrong in ("lr", [1], {"lr": 1, 2: 3}):
        with pytest.raises(TypeError, match="pass True, False, or a list of names"):
            pipeline(record=wrong)(fit)  # type: ignore[arg-type]
    for name, text in (("RUNLORE_RECORD", "lr;rows"), ("RUNLORE_RECORD", "a,,b"), ("RUNLORE_REDACT", "maybe")):
        monkeypatch.setenv(name, text)
        with pytest.raises(SettingsError, match=name):
            read_settings()
        monkeypatch.delenv(name)


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
        assert parameters(train, (value,), {}) == {"lr": 0.1, "seed": None}, value
        assert parameters(train, (None,), {"odd": value, "n": 1})["options"] == {"n": 1}, value
    assert parameters(train, (), {}) == {}  # the call itself says what is missing
    assert parameters(train, ("x" * 500,), {})["rows"] == "x" * 500


def test_what_a_function_changes_later_is_recorded_as_it_was() -> None:
    given = [1, 2]
    found = parameters(train, (given,), {})
    given.append(3)
    assert found["rows"] == [1, 2]


def test_what_looks_secret_is_never_recorded_even_when_selected() -> None:
    def connect(
        user: str, password: str = "p", api_key: str = "k", auth_token: str = "t", config: Any = None
    ) -> None: ...

    assert parameters(connect, ("ada",), {}) == {"user": "ada", "config": None}
    assert parameters(connect, ("ada",), {"config": {"max_tokens": 9, "tokenizer": "bpe"}})["config"] == {
        "max_tokens": 9,
        "tokenizer": "bpe",
    }
    for config in (
        {"host": "h", "db_password": "x"},
        {"host": "h", "deep": [{"dsn": "postgres://ada:hunter2@db/x"}]},
        ["--verbose", "--password", "hunter2"],
        {"headers": [("X-Api-Key", "hunter2")]},
        {"session": "9aF3kQ71zX0pLmB4tY8w"},
        {"ghp_0123456789abcdefghij": 1},
    ):
        assert parameters(connect, ("ada",), {"config": config}) == {"user": "ada"}, config
    selection = ParameterSelection(names=frozenset({"password", "user"}))
    assert parameters(connect, ("postgres://ada:hunter2@db/x",), {}, selection) == {}
    assert parameters(train, (None,), {"password": "x", "n": 1})["options"] == {"n": 1}


def test_an_argument_of_many_parts_or_a_huge_number_is_data() -> None:
    wide = {f"k{number}": ["x" * 400] * 50 for number in range(40)}
    assert parameters(train, (wide,), {"seed": 10**5000}) == {"lr": 0.1}
