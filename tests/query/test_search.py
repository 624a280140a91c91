from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runlore.query import Client, Hits
from runlore.schemas import ArgumentError, EntityRef, LatestOnlyError, MetadataRetracted, NoteAdded, RunStarted
from tests.events import LogBuilder
from tests.query.views import client_of, index_texts

CHURN = EntityRef("model", "churn", "1")


def write(log: LogBuilder) -> None:
    log.log("model:churn@1", {"evaluation_metrics": {"accuracy": 0.9, "notes": "Café data"}, "owner": "ada lovelace"})
    log.log("model:other@1", {"about": "compares with churn", "evaluation_metrics": {"accuracy": 0.8}})
    log.log("model:churn@1", {"secret": "plutonium", "tags": ["red", "green"], "checked": True, "evil%": 1})
    log.add(MetadataRetracted((CHURN,), (("secret",),), "leaked"))
    log.add(NoteAdded((CHURN,), "ready for review"))
    log.add(RunStarted("nightly", "nightly-1"), run="r1")


def indexed(folder: Path) -> Client:
    client = client_of(folder, write)
    index_texts(folder)
    return client


def places(hits: Hits) -> list[tuple[str, str | None]]:
    return [(hit.entity.reference, hit.path) for hit in hits]


def test_names_come_first_then_texts(tmp_path: Path) -> None:
    hits = indexed(tmp_path).search("churn")
    assert places(hits) == [("model:churn@1", None), ("model:other@1", "about")]
    assert [hit.scope for hit in hits] == ["name", "metadata"]
    assert hits[1].snippet == "compares with churn"
    assert hits[0].score > 0
    assert hits.position == 6


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ada lovelace", [("model:churn@1", "owner")]),
        ("lovelace ADA", [("model:churn@1", "owner")]),
        ("owner love", [("model:churn@1", "owner")]),
        ("love ada", []),
        ("cafe", [("model:churn@1", "evaluation_metrics.notes")]),
        ("gree", [("model:churn@1", "tags")]),
        ("review", [("model:churn@1", "note")]),
        ("plutonium", []),
        ("secret", []),
        ("evil%", [("model:churn@1", "evil%")]),
        ("checked", [("model:churn@1", "checked")]),
        ("churn 1", [("model:churn@1", None)]),
        ("churn@1", [("model:churn@1", None)]),
        ("", []),
        ("%", []),
        ("_", []),
    ],
)
def test_all_words_must_stand_in_one_place_and_the_last_may_be_cut_short(
    tmp_path: Path, text: str, found: list[tuple[str, str]]
) -> None:
    assert places(indexed(tmp_path).search(text)) == found


def test_keys_of_numbers_are_found_by_path_the_newest_entity_first(tmp_path: Path) -> None:
    client = indexed(tmp_path)
    both = [("model:other@1", "evaluation_metrics.accuracy"), ("model:churn@1", "evaluation_metrics.accuracy")]
    for text in ("evaluation_metrics.accuracy", "accuracy", "accuracy evaluation", "evaluation_metrics.accu"):
        assert places(client.search(text)) == both
    assert [hit.snippet for hit in client.search("accuracy")] == ["0.8", "0.9"]
    assert places(client.search("accuracy", limit=1)) == both[:1]


SPELLED: dict[str, Any] = {
    "größe": 5, "précision": 0.9, "ÉTAT": 1, "t_größe": "x", "état_text": "y", "plain": 2, "e\u0301tage": 3, "ﬁt": 4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("größe", {"größe", "t_größe"}),
        ("GRÖSSE", {"größe"}),
        ("gro\u0308ße", {"größe", "t_größe"}),
        ("precision", {"précision"}),
        ("PRÉCISION", {"précision"}),
        ("pre", {"précision"}),
        ("état", {"ÉTAT", "état_text"}),
        ("etat", {"ÉTAT", "état_text"}),
        ("etage", {"e\u0301tage"}),
        ("fit", {"ﬁt"}),
        ("PLAIN", {"plain"}),
        ("pläin", {"plain"}),
        ("\u0301", set[str]()),
    ],
)
def test_case_and_accents_of_keys_do_not_matter_whatever_their_values(
    tmp_path: Path, text: str, found: set[str]
) -> None:
    client_of(tmp_path, lambda log: log.log("model:m@1", SPELLED))
    index_texts(tmp_path)
    assert {hit.path for hit in Client(tmp_path).search(text)} == found


def test_many_odd_keys_do_not_hide_a_plain_one(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.log("model:odd@1", {f"é{number}": number for number in range(6_000)})
        log.log("model:m@1", {"plain": 1, "größe": 2})

    client_of(tmp_path, write)
    index_texts(tmp_path)
    for text in ("plain", "grosse"):
        assert [hit.entity.reference for hit in Client(tmp_path).search(text)] == ["model:m@1"]


def test_the_snippet_of_a_long_text_is_the_part_around_the_word(tmp_path: Path) -> None:
    client_of(tmp_path, lambda log: log.log("model:m@1", {"long": "before " * 100 + "Needle" + " after" * 100}))
    index_texts(tmp_path)
    (hit,) = Client(tmp_path).search("needle")
    assert "before Needle after" in hit.snippet
    assert len(hit.snippet) <= 202
    assert hit.snippet[0] == hit.snippet[-1] == "…"


def test_kind_and_project_narrow_a_search(tmp_path: Path) -> None:
    client = indexed(tmp_path)
    assert {hit.entity.kind for hit in client.search("nightly")} == {"run", "pipeline"}
    assert {hit.entity.kind for hit in client.search("nightly", kind="run")} == {"run"}
    assert client.search("accuracy", kind="dataset") == []
    with Client(tmp_path, project="other") as other:
        assert other.search("churn") == other.search("accuracy") == []


def test_what_the_index_does_not_know_yet_is_said(tmp_path: Path) -> None:
    client = client_of(tmp_path, write)
    assert (client.search("churn"), client.search("churn").position) == ([], 0)
    index_texts(tmp_path)
    assert client.search("churn").position == 6


def test_only_the_latest_can_be_searched(tmp_path: Path) -> None:
    client_of(tmp_path, write)
    with pytest.raises(LatestOnlyError, match="as_of"):
        Client(tmp_path, as_of=2).search("churn")
    with pytest.raises(ArgumentError):
        Client(tmp_path).search("churn", limit=0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return indexed(tmp_path_factory.mktemp("search"))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.one_of(st.sampled_from('"*^():{}+-ANDORNT \0.%_\\\ud800é'), st.characters(codec=None)), max_size=40)
)
def test_no_text_is_syntax_and_none_raises(shared: Client, text: str) -> None:
    shared.search(text)


@pytest.mark.parametrize("text", ['churn OR ada', 'churn NOT nothing', "NEAR(churn ada)", "text : churn", "^churn ada", '"churn" OR "ada"'])  # fmt: skip
def test_operators_are_words(shared: Client, text: str) -> None:
    assert shared.search(text) == []


UNSEGMENTED = {
    "zh": "客户流失模型v2评估报告",
    "ja": "顧客データの解約予測モデル",
    "ko": "고객이탈 데이터가 준비되었다",
    "th": "โมเดลทำนายลูกค้า",
    "en": "customer churn",
}


@pytest.fixture(scope="module")
def unsegmented(tmp_path_factory: pytest.TempPathFactory) -> Client:
    def write(log: LogBuilder) -> None:
        for name, text in UNSEGMENTED.items():
            log.log(f"model:{name}@1", {"note": text})
        log.log("model:名前付き@1", {"正解率": 0.9})

    folder = tmp_path_factory.mktemp("unsegmented")
    client = client_of(folder, write)
    index_texts(folder)
    return client


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("客户", "zh"),
        ("流失", "zh"),
        ("评估", "zh"),
        ("失", "zh"),
        ("告", "zh"),
        ("流失模型v2评", "zh"),
        ("模型v2", "zh"),
        ("v2评估", "zh"),
        ("客户 报告", "zh"),
        ("データ", "ja"),
        ("ﾃﾞｰﾀ", "ja"),  # the same in half width
        ("解約", "ja"),
        ("이탈", "ko"),
        ("데이터", "ko"),
        ("ลูกค้า", "th"),
        ("名前", "名前付き"),
        ("前付", "名前付き"),
        ("正解", "名前付き"),
        ("解率", "名前付き"),
        ("名前 1", "名前付き"),
        ("churn", "en"),
    ],
)
def test_any_part_of_a_text_without_blanks_is_found(unsegmented: Client, text: str, name: str) -> None:
    assert [hit.entity.name for hit in unsegmented.search(text)] == [name]


@pytest.mark.parametrize("text", ["客流", "户客", "告报", "模型v3", "v2流失", "客户 churn", "客户数"])
def test_characters_that_do_not_follow_each_other_are_not_found(unsegmented: Client, text: str) -> None:
    assert unsegmented.search(text) == []


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([*UNSEGMENTED]), st.data())
def test_every_part_of_a_text_without_blanks_finds_it(unsegmented: Client, name: str, data: st.DataObject) -> None:
    run = max(UNSEGMENTED[name].split(), key=len) if name != "en" else "churn"
    start = 0 if name == "en" else data.draw(st.integers(0, len(run) - 1))
    part = run[start : data.draw(st.integers(start + 1, len(run)))]
    if name == "zh" and part[0] == "2":
        return  # Latin words are found from their beginning, as everywhere
    if not any(char.isalpha() for char in part):
        return  # a mark alone is no word
    assert name in [hit.entity.name for hit in unsegmented.search(part)]
