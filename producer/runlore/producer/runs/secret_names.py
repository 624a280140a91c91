"""Names that say that their value is a secret: `password`, `api_key`, `auth` …, but not `tokenizer` or `sort_key`."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_PART = re.compile(r"passw(or[dt]|d)|passphrase|credential|secret(?!ar)|apikey|privatekey|accesskey|authtoken")
"""Inside a name written together."""
_SECRET = _set("passcode pwd creds otp totp jwt bearer authorization cookie cookies cvv cvc pincode accesstoken")
_SECRET_AT_THE_END = _set("token auth pin")
"""Secret where a name ends with it: `auth_token`, but neither `token_count` nor `pin_memory`."""
_BEFORE_PLAIN_TOKEN = _set(
    "pad eos bos sos eot unk mask sep cls special start end stop image audio video next first last per new added extra"
    " blank oov prompt prefix suffix class separator placeholder decoder max min num each by of"
)
"""Words before `token` that make it a token of text: `pad_token`."""
_BEFORE_KEY = _set(
    "api private access secret ssh signing encryption decryption account storage service master subscription deploy gpg"
    " pgp hmac license client shared admin auth host tls ssl openai anthropic wandb azure aws github gitlab hf"
    " huggingface cohere mistral gemini groq replicate pinecone langchain langsmith comet neptune stripe sendgrid"
    " twilio datadog"
)
"""Words before `key` that make it a secret; `sort_key` and `key` alone are none."""
_BEFORE_TOKENS = _set("auth access refresh bearer api id session csrf")
_BEFORE_PASS = _set("db user smtp mail ftp proxy admin root redis mysql pg postgres ldap basic")
_MAY_HOLD_ONE = _set(
    "auth header headers session sessionid sid dsn conn connection key keys tokens sig signature sas webhook"
)

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W\d_]+")


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Return whether a value under this name is a secret, whatever it looks like."""
    words = _words(name)
    if not words:
        return False
    if _PART.search("".join(words)) or not _SECRET.isdisjoint(words):
        return True
    if any(_is_secret_pair(before, word) for before, word in pairwise(words)):
        return True
    if words[-1] == "token" and len(words) > 1 and words[-2] in _BEFORE_PLAIN_TOKEN:
        return False
    return words[-1] in _SECRET_AT_THE_END or words == ["pass"]


@lru_cache(maxsize=1024)
def may_hold_secret(name: str) -> bool:
    """Return whether a long random text under this name is a secret."""
    return not _MAY_HOLD_ONE.isdisjoint(_words(name))


def _is_secret_pair(before: str, word: str) -> bool:
    match word:
        case "key" | "keys":
            return before in _BEFORE_KEY
        case "tokens":
            return before in _BEFORE_TOKENS
        case "pass":
            return before in _BEFORE_PASS
        case "code":
            return before == "pin"
        case _:
            return False


def _words(name: str) -> list[str]:
    return _WORD.findall(_CAMEL.sub("_", name[:200]).lower())
