from __future__ import annotations

from pathlib import Path

import pytest

from runlore.query import Client
from runlore.query.find import ast
from runlore.query.find.parse import MAX_CONDITIONS, MAX_LENGTH, parse, parse_key
from runlore.schemas import FilterError, RunStarted
from tests.events import LogBuilder
from tests.query.views import client_of

VALUE = "a value: a number, 'text', true, false, null or a time"


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("a = 1 ;", 7, "expected 'and', 'or' or the end"),
        ("framework:bogus:x", 11, "expected one of equals, notequals, contains, startswith"),
        ("accuracy >", 11, f"expected {VALUE}"),
        ("accuracy > sklearn", 12, "text is in quotes"),
        ("a = 'x", 5, "does not end"),
        ('a = "x', 5, "does not end"),
        ("(a = 1", 7, "')'"),
        ("a = 1)", 6, "the end"),
        ("a = 1 b = 2", 7, "'and', 'or' or the end"),
        ("a = 1 and", 10, "a key"),
        ("a = 1 and or b", 14, "a comparison"),
        ("= 3", 1, "a key"),
        ("a in 1", 6, "'('"),
        ("a in ()", 7, VALUE),
        ("a in (1,)", 9, VALUE),
        ("a in (1 2)", 9, "','"),
        ("a not b", 7, "'in', 'like' or 'contains'"),
        ("a like 5", 8, "a text"),
        ("a > true", 5, "has an order"),
        ("a <= null", 6, "has an order"),
        ("a = 5 XB", 7, "'and', 'or' or the end"),
        ("a = 2026-13-01", 5, "a time"),
        ("a = 1e9999", 5, "a number"),
        ("a = 1" + "0" * 300, 5, "a number"),
        ("created = 5", 11, "a time"),
        ("created > 'soon'", 11, "a time"),
        ("created", 1, "a time"),
        ("a contains 2026-01-01", 12, "a text"),
        ("ever(a = 1 and b = 2)", 12, "one condition"),
        ("ever(not a)", 10, "a comparison"),
        ("exists", 7, "a key"),
        ("a ! 1", 3, "a comparison"),
        ('a = "\\x"', 5, "expected"),
        ("a.'b' = 1", 2, "a comparison"),
        ("a == == 1", 6, VALUE),
        ("accuracy:gte:true", 14, "has an order"),
        ("created:gte:5", 13, "a time"),
        ("x:oneof:", 9, "a list"),
        ("not " * 60 + "a", 1, "levels"),
        ("(" * 60 + "a" + ")" * 60, 1, "levels"),
        (" or ".join(["a"] * (MAX_CONDITIONS + 1)), 1, "conditions"),
    ],
)
def test_an_error_points_at_the_column_and_says_what_was_expected(text: str, column: int, says: str) -> None:
    with pytest.raises(FilterError) as raised:
        parse(text)
    assert (raised.value.text, raised.value.column) == (text, column)
    assert says in str(raised.value)


def test_the_caret_stands_below_the_column_also_on_a_later_and_a_long_line() -> None:
    with pytest.raises(FilterError) as raised:
        parse("a = 1 and\n  b ! 3")
    assert str(raised.value).endswith("at line 2, column 5:\n    b ! 3\n      ^")
    with pytest.raises(FilterError) as raised:
        parse("a = 'é' and " * 50 + "b >")
    shown, caret = str(raised.value).splitlines()[-2:]
    assert caret.index("^") == len(shown)
    assert len(caret) < 80


@pytest.mark.parametrize("where", [5, b"a", ["a", 5], "a" * (MAX_LENGTH + 1), ["a or b"] * MAX_CONDITIONS])
def test_what_is_no_filter_at_all_is_refused(where: object) -> None:
    with pytest.raises(FilterError):
        parse(where)  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize("where", [None, "", "  \n", [], [""]])
def test_no_condition_finds_everything(tmp_path: Path, where: str | None) -> None:
    client = client_of(tmp_path, lambda log: log.log(["model:a@1", "model:b@1"], {"x": 1}))
    assert len(client.find("model", where)) == 2


def test_limits_and_orders_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    client: Client = client_of(tmp_path, lambda log: log.log("model:a@1", {"x": 1}))
    for order in ("x > 1", "x = true", "not x", "x, y", "", "(x)"):
        with pytest.raises(FilterError):
            client.find("model", order_by=order)
    with pytest.raises(FilterError, match="limit"):
        client.find("model", limit=0)


def test_the_tree_binds_and_before_or_and_words_may_be_keys() -> None:
    a, b, c = (ast.Compare(ast.Key((name,)), "=", True) for name in "abc")
    assert parse("a or b and not c") == ast.Or((a, ast.And((b, ast.Not(c)))))
    assert parse("(a or b) AND NOT c") == ast.And((ast.Or((a, b)), ast.Not(c)))
    assert parse("a and (b and c)") == parse(["a", "b", "c"]) == ast.And((a, b, c))
    assert parse_key("in") == ast.Key(("in",))
    assert parse("notes") == ast.Compare(ast.Key(("notes",)), "=", True)
    assert parse("like like 'x'") == ast.Matches(ast.Key(("like",)), "x")
    assert parse_key('"a b".c') == ast.Key(("a b", "c"), quoted=True)
    assert parse_key("métrique.größe-2.3") == ast.Key(("métrique", "größe-2", "3"))


def test_the_largest_filter_still_runs(tmp_path: Path) -> None:
    client = client_of(tmp_path, lambda log: log.log("model:a@1", {"x": 1}))
    many = ", ".join(["2026-01-01", "1", "'x'", "2.5"] * 50)
    assert client.find("model", f"x in ({many})") != []
    for word in (" or ", " and "):
        where = word.join(["x = 1"] * MAX_CONDITIONS)
        assert client.find("model", where) != []
        assert client.find("model", where, order_by="x", as_of=1) != []
    assert client.find("model", "not " * 49 + "x = 2") != []
    assert client.find("model", "(" * 49 + "x = 1" + ")" * 49) != []


@pytest.mark.parametrize("leaf", ["pipeline = 'x'", "version > 3", "train::loss > 1", "exists train::opt"])
@pytest.mark.parametrize("kind", [None, "run", "model"])
def test_the_deepest_filter_still_runs(tmp_path: Path, leaf: str, kind: str | None) -> None:
    def write(log: LogBuilder) -> None:
        log.add(RunStarted("nightly", "nightly-1"), run="0190-aa")
        log.log("step:0190-aa/train", {"loss": 1, "opt": {"lr": 2, "decay": 3}}, run="0190-aa", step="train")
        log.log("model:m@1", {"x": 1}, run="0190-aa", step="train")

    client = client_of(tmp_path, write)
    for deep in (f"({leaf} or ({leaf} and ", f"not ({leaf} and "):
        where = deep * 5 + leaf + ")" * deep.count("(") * 5
        for at in (None, 2):
            client.find(kind, where, order_by="pipeline", as_of=at)
            client.find(kind, where, order_by="x", as_of=at)
        with pytest.raises(FilterError, match="levels"):
            client.find(kind, f"x and not (x or {where})")
