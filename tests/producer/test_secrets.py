"""Secrets: found in names, values and messages, and never in an event; what only looks a little like one stays."""

from __future__ import annotations

import dataclasses
import string
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from log_tools import outbox_files, read_outbox

from runlore.producer import configure, log_metadata, pipeline, run_context, step, step_context
from runlore.producer.outboxes.look import rows_of
from runlore.producer.runs.secret_names import is_secret_name
from runlore.producer.runs.secrets import REDACTED, redact, redact_text
from runlore.schemas import RunFinished, RunStarted, Settings, StepFinished, StepStarted, Uri

WORD = "hunter2hunter"
"""What must not be in any event."""

BASIC = b"YWRhOmh1bnRlcjJodW50ZXI"
"""The same as basic authorization writes it."""

PLANTED = [
    f"postgres://ada:{WORD}@db/x",
    f"postgresql+psycopg2://ada:p@{WORD}@db:5432/x?sslmode=require",
    f"redis://:{WORD}@h:6379",
    f"mongodb://ada:{WORD}@h1,h2/x",
    f"https://{WORD}{WORD}@o1.ingest.sentry.io/1",
    f"https://h/x?token={WORD}&y=1",
    f"https://h/x?X-Amz-Signature={WORD}{WORD}&y=1",
    f"ada:{WORD}@tcp(db:3306)/x",
    f"host=h user=ada password={WORD} dbname=x",
    f"Server=h;Pwd={WORD};Database=x",
    f"s3://AKIA{WORD.upper()}1:{WORD}@bucket/key",
    f"https://ghp_{WORD}:{WORD}@github.com/team/code",
    f"https://hooks.slack.com/services/T0AB12CD3/B0AB12CD3/{WORD}",
    f"https://discord.com/api/webhooks/1234567890123456/{WORD}_{WORD}",
    f"https://team.webhook.office.com/webhookb2/{WORD}@{WORD}/IncomingWebhook/{WORD}/{WORD}",
    f"https://api.telegram.org/bot123456789:AAH{WORD}{WORD}{WORD}/sendMessage",
    f"bot 123456789:AAH{WORD}-{WORD}_ab cannot send",
    f"<password>{WORD}</password>",
    f"<db:apiKey type='x'>{WORD}</db:apiKey>",
    f"mysqldump -h db -u ada -p{WORD} runs",
    f"sshpass -p {WORD} ssh ada@h",
    f"AccountName=x;AccountKey={WORD}==;EndpointSuffix=y",
    f"Authorization: Bearer {WORD}",
    f"Authorization: Token {WORD}",
    f"Bearer {WORD}",
    f"Basic {BASIC.decode()}=",
    f"Cookie: a={WORD}; b={WORD}",
    f"{{'headers': {{'X-Api-Key': '{WORD}'}}}}",
    f'{{"password": {{"value": "{WORD}"}}}}',
    f"Command '['mysql', '--password', '{WORD}']' returned non-zero exit status 1.",
    f"curl -u ada:{WORD} http://x",
    f"mysql --password={WORD} -u ada",
    f"ALTER USER ada IDENTIFIED BY '{WORD}'",
    f"cannot log in with password: {WORD}",
    f"OPENAI_API_KEY={WORD}",
    f"sk-proj-{WORD}",
    f"ghp_{WORD}",
    f"gho_{WORD}",
    f"github_pat_{WORD}",
    f"xoxb-{WORD}",
    f"AKIA{WORD.upper()}1",
    f"AIza{WORD}{WORD}",
    f"hf_{WORD}",
    f"glpat-{WORD}",
    f"npm_{WORD}abcdef",
    f"pypi-AgEI{WORD}",
    f"eyJhbGciOiJIUzI1NiJ9.eyJ{WORD}.{WORD}",
    f"-----BEGIN OPENSSH PRIVATE KEY-----\n{WORD}\n{WORD}\n-----END OPENSSH PRIVATE KEY-----",
    f"-----BEGIN RSA PRIVATE KEY-----\n{WORD}",
]

SECRET_NAMES = [
    "password",
    "passwd",
    "db_pass",
    "dbPassword",
    "api_key",
    "apiKey",
    "APIKey",
    "X-Api-Key",
    "OPENAI_API_KEY",
    "auth",
    "basic_auth",
    "token",
    "hf_token",
    "auth_token",
    "access_tokens",
    "client_secret",
    "wandb_key",
    "openai_key",
    "secret_key",
    "private_key",
    "AWS_SECRET_ACCESS_KEY",
    "pin",
    "otp",
    "card_pin",
    "credentials",
    "cookies",
    "Set-Cookie",
    "Authorization",
    "GITHUB_TOKEN",
    "bot_token",
    "AccountKey",
    "passphrase",
]

PLAIN_NAMES = [
    "max_tokens",
    "tokenizer",
    "key",
    "author",
    "pad_token",
    "eos_token_id",
    "token_count",
    "pin_memory",
    "sort_key",
    "keys",
    "monkey",
    "n_heads",
    "key_dim",
    "num_key_value_heads",
    "forward_pass",
    "authors",
    "secretary",
    "tokens",
    "session",
    "header",
    "lr",
    "bypass",
    "compass",
    "token_embedding",
]

KEPT = [
    "accuracy",
    "sk-learn",
    "sk-learn-contrib-extensions",
    "9fceb02d0ae598e95dc970b74767f19372d61af8",
    "sha256:9fceb02d0ae598e95dc970b74767f19372d61af8a94a8fe5ccb19ba61c4c0873",
    "model:churn@3",
    "repository/image:1.2@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "git@github.com:team/code.git",
    "https://host:8080/@scope/package?key=accuracy",
    "s3://bucket/key/part@2",
    "Access denied for user 'ada'@'localhost' (using password: YES)",
    'password authentication failed for user "ada"',
    "invalid password: must have 8 characters",
    "unexpected token: '}'",
    "KeyError: 'token'",
    "fit() missing 1 required positional argument: 'password'",
    "max_tokens=512, tokenizer=bert, key=accuracy, author=ada",
    "bearer tokens are basic understanding",
    "task-1234567890123456",
    "mysql -h db -p runs",
    "mkdir -p/data",
    "<tokens>12</tokens>",
    "https://discord.com/api/v10/channels/123",
    "12345678:00:01",
    "glove-6b-300d-embeddings",
    "2026-01-01T10:00:00 error: disk full",
]


@pytest.fixture(autouse=True)
def _offline(settings: Settings) -> Iterator[None]:
    configure(mode="offline")
    yield
    configure(mode="disabled")


def holds_word(settings: Settings) -> bool:
    """Whether one of the last events of this process has the planted word, in whatever field."""
    (path,) = outbox_files(settings)
    stored = b"".join(row.payload for row in rows_of(path)[-8:]).lower()
    return WORD.encode() in stored or BASIC.lower() in stored


@pytest.mark.parametrize("secret", PLANTED)
def test_secrets_are_found_by_their_form(secret: str) -> None:
    for text in (secret, f"cannot reach {secret}", f"before\n{secret}\nafter"):
        found = redact_text(text)
        assert WORD not in found.lower(), found
        assert REDACTED in found
        assert redact_text(found) == found
    assert redact_text(f"cannot reach {secret}").startswith("cannot reach ")


def test_what_only_looks_a_little_like_a_secret_stays() -> None:
    assert [text for text in KEPT if redact_text(text) != text] == []
    assert [name for name in PLAIN_NAMES if is_secret_name(name)] == []
    assert [name for name in SECRET_NAMES if not is_secret_name(name)] == []
    usual = {
        "max_tokens": 512, "tokenizer": "bert", "key": "validation_accuracy_epoch_10", "author": "ada",
        "commit": KEPT[3], "session": "2026-05-01-nightly-run", "conn": "s3/datasets/imagenet/v12/train/part0001",
        "pad_token": "[PAD]", "token": None, "layers": [64, 32.5], "splits": {"train", "test"}, "shape": (1, (2, 3)),
    }  # fmt: skip
    assert redact(usual) is usual


def test_long_random_texts_are_secrets_under_names_that_may_hold_one() -> None:
    secret = "9aF3kQ71zX0pLmB4tY8w"
    for name in ("headers", "session", "dsn", "conn", "key", "SESSION_ID", "signature"):
        assert redact({name: secret}) == {name: REDACTED}
        assert redact({name: {"x": ["a", secret]}}) == {name: {"x": ["a", REDACTED]}}
        assert redact({name: str(uuid.UUID(int=0x9F3A71C0B4D8E26F5A1C7D3B90E8F642))}) == {name: REDACTED}
    for name in ("commit", "checksum", "dataset", "model"):
        assert redact({name: secret}) == {name: secret}


def test_a_hostile_text_takes_no_longer_than_another() -> None:
    # Each would take minutes if one of the patterns took quadratic time; the test's own time limit is the judge.
    for part in (
        "a",
        "://a:",
        "password=",
        "a.b",
        "'",
        "-",
        "eyJ",
        "eyJaaaaaaaa.",
        "-----BEGIN X-----",
        "token: '",
        "sk-",
        "a:b@",
        "mysql ",
        "<a ",
        "<a>b",
        "redis-cli -",
    ):
        redact_text((part * 40_000)[:40_000])


names = st.sampled_from([*SECRET_NAMES, *PLAIN_NAMES]) | st.text(string.ascii_letters + "_", min_size=1, max_size=8)
planted = st.sampled_from(PLANTED)
named = st.tuples(st.sampled_from(SECRET_NAMES), st.sampled_from([WORD, [WORD], {"x": WORD}, (WORD, 1)]))
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(KEPT)
nested = st.recursive(
    plain | planted | named.map(lambda pair: dict([pair])) | named.map(lambda pair: (f"--{pair[0]}", WORD)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(names | planted, inner, max_size=4)
        | st.tuples(inner, inner)
        | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=12,
)


@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(value=nested)
def test_planted_secrets_never_reach_an_event_however_deep_they_are(settings: Settings, value: Any) -> None:
    @step(record=True)
    def work(value: Any, *more: Any, **options: Any) -> None:
        raise ValueError(f"cannot use {value!r}")

    with pytest.raises(ValueError, match="cannot use"), run_context("nightly", parameters={"value": value}):
        work(value, value, option=value)
    assert not holds_word(settings)


def test_names_hide_what_is_given_under_them_and_nothing_else(settings: Settings) -> None:
    @pipeline(record=True)
    def nightly(db_url: str, auth: tuple[str, str], headers: dict[str, str], author: str = "ada", **more: Any) -> None:
        with step_context("fit", parameters={"password": WORD, "lr": 0.1, "uri": Uri(f"s3://a:{WORD}@b"), "raw": b"x"}):
            pass

    nightly(f"postgres://a:{WORD}@b", ("ada", WORD), {"X-Api-Key": WORD}, pin=1234, commit=KEPT[3], secret=WORD)
    started = [event.fact for event in read_outbox(settings) if isinstance(event.fact, (RunStarted, StepStarted))]
    assert [fact.parameters for fact in started] == [
        {"author": "ada", "more": {"commit": KEPT[3]}},
        {"password": REDACTED, "lr": 0.1, "uri": f"s3://{REDACTED}@b", "raw": b"x"},
    ]
    assert not holds_word(settings)


def test_secrets_in_explicit_parameters_are_found_in_every_kind_of_value(settings: Settings) -> None:
    @dataclasses.dataclass
    class Config:
        lr: float
        token: str
        paths: list[Path]

    config = Config(0.1, WORD, [Path("a/b")])
    values = {"config": config, "set": {f"ghp_{WORD}", "a"}, "bytes": f"password={WORD}".encode(), "n": 1}
    with run_context("nightly", parameters=values):
        pass
    (fact,) = [event.fact for event in read_outbox(settings) if isinstance(event.fact, RunStarted)]
    assert (fact.parameters["config"]["lr"], fact.parameters["config"]["token"]) == (0.1, REDACTED)
    assert (fact.parameters["set"], fact.parameters["n"]) == ({REDACTED, "a"}, 1)
    assert not holds_word(settings)


def test_error_messages_and_notes_stay_readable_without_their_secrets(settings: Settings) -> None:
    @step
    def connect() -> None:
        error = ConnectionError(f"cannot reach postgres://ada:{WORD}@db.example.com/x: refused")
        error.add_note(f"the DSN was host=h password={WORD} dbname=x")
        raise error

    with pytest.raises(ConnectionError), run_context("nightly"):
        connect()
    with pytest.raises(ExceptionGroup), run_context("group"):
        raise ExceptionGroup("several", [ValueError(f"Bearer {WORD}")])
    with pytest.raises(ValueError, match="xx"), run_context("long"):
        raise ValueError("x" * 9_990 + f" password={WORD}")  # a secret across the end of what is kept
    facts = [event.fact for event in read_outbox(settings) if isinstance(event.fact, (StepFinished, RunFinished))]
    text = (
        f"cannot reach postgres://{REDACTED}@db.example.com/x: refused\nthe DSN was host=h password={REDACTED} dbname=x"
    )
    assert [fact.error_message for fact in facts[:3]] == [
        text, text, f"several (1 sub-exception)\nValueError: Bearer {REDACTED}",
    ]  # fmt: skip
    assert not holds_word(settings)


def test_one_setting_turns_the_search_off(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLORE_REDACT", "off")
    configure(mode="offline")

    @step(record=True)
    def connect(db_url: str, password: str) -> None:
        raise ValueError(f"password={WORD}")

    run = run_context("nightly", parameters={"token": WORD})
    assert run.env()["RUNLORE_REDACT"] == "off"
    with pytest.raises(ValueError, match="password"), run:
        connect(f"postgres://ada:{WORD}@db", WORD)
    assert holds_word(settings)
    facts = [event.fact for event in read_outbox(settings)]
    assert facts[0].parameters == {"token": WORD}  # type: ignore[union-attr]
    assert facts[1].parameters == {"db_url": f"postgres://ada:{WORD}@db", "password": WORD}  # type: ignore[union-attr]
    assert facts[-1].error_message == f"password={WORD}"  # type: ignore[union-attr]


def test_what_is_logged_on_purpose_is_the_users_own(settings: Settings) -> None:
    with run_context("nightly"):
        log_metadata({"db_url": f"postgres://ada:{WORD}@db", "token": "x"})
    logged = next(event.fact for event in read_outbox(settings) if hasattr(event.fact, "metadata"))
    assert logged.metadata == {"db_url": f"postgres://ada:{WORD}@db", "token": "x"}
