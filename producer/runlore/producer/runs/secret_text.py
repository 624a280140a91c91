"""The forms that secrets take inside a text: an address, a header, a pair of name and value, a service's own prefix."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator

# All repetitions are bounded, and names begin where a word does: a hostile text of any length costs linear time.

_WHOLE = re.compile(
    r"-----BEGIN [A-Z0-9 ]{1,40}-----(?:(?!-----BEGIN).){0,20000}?(?:-----END [A-Z0-9 ]{1,40}-----|\Z|(?=-----BEGIN))"
    r"|(?<![A-Za-z0-9_])(?:"
    r"eyJ[\w-]{8,2000}\.[\w-]{4,4000}(?:\.[\w-]{0,4000}){0,3}"  # JSON web tokens
    r"|sk-(?!learn)(?=[\w-]{0,200}\d)[\w-]{12,400}|sk-[A-Za-z]{20,400}|[sr]k_(?:live|test)_\w{10,400}|whsec_\w{16,200}"
    r"|gh[opsur]_\w{10,300}|github_pat_\w{10,300}|gl(?:pat|dt|rt|soat|ptt|ft|cbt|imt|agent|oas)-[\w-]{10,100}"
    r"|xox[a-z]-[\w-]{10,300}|xapp-[\w-]{10,300}"
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,20}|AIza[\w-]{20,100}|ya29\.[\w-]{16,500}"
    r"|hf_(?=[A-Za-z]{0,60}\d)[A-Za-z0-9]{10,100}|hf_[A-Za-z]{30,100}"
    r"|npm_[A-Za-z0-9]{16,100}|pypi-(?=[\w-]{0,300}[A-Z0-9])[\w-]{16,400}|dckr_pat_[\w-]{16,100}|dop_v1_\w{16,100}"
    r"|gsk_\w{20,100}|xai-\w{20,100}|nvapi-[\w-]{20,100}|r8_\w{20,60}|tskey-[\w-]{16,100}|hvs\.[\w-]{16,200}"
    r"|SG\.[\w-]{16,60}\.[\w-]{16,60}|dapi[0-9a-f]{32}|shp[a-z]{2}_\w{16,60}|ATATT3[\w=-]{16,300}"
    r"|AGE-SECRET-KEY-1\w{16,100})",
    re.DOTALL,
)
"""Secrets that are told by their own form: PEM blocks, JSON web tokens, keys of known services."""

_ADDRESS = re.compile(
    r"(?<=://)(?:[^\s/:@?#\[\]\"'<>]{0,200}:(?!\d{1,5}[/?#])[^\s\"'<>]{1,500}|[\w%.~-]{20,300})@"
    # Without a scheme: user:password@host:port, and Go's user:password@tcp(host)
    r"|(?<![\w.+/:-])[\w.+-]{1,100}:[^\s/:@\"'<>]{1,200}@(?=tcp\(|unix\(|[A-Za-z][\w.-]{0,200}:\d{2,5}(?!\w))"
)
"""User and password of an address."""

_QUERY = re.compile(r"(?i)(?<=[?&])((?:sig|signature|key|x-amz-[a-z-]{1,30}|x-goog-[a-z-]{1,30})=)[^&\s\"'<>]{16,2000}")
"""Signed addresses."""

_HOOK = re.compile(
    r"(?i)(?<=://)((?:hooks\.slack\.com/(?:services|workflows|triggers)|(?:\w{1,20}\.)?discord(?:app)?\.com/api/webhooks"
    r"|[\w-]{1,80}\.webhook\.office\.com/webhookb2)/)[^\s\"'<>]{8,500}"
)
"""Addresses of chats: who knows one may write there."""

_BOT = re.compile(r"(?:(?<!\w)|(?<=/bot))\d{8,10}:[\w-]{30,60}(?![\w-])")
"""Telegram's tokens."""

_TAG = re.compile(r"(<(?:[\w.-]{1,40}:)?(?P<name>[^\W\d][\w.-]{0,80})(?:\s[^<>]{0,200})?>)[^<>]{1,4000}(?=</)")
"""``<password>value</password>``."""

_OPTION = re.compile(
    r"((?:\bmysql\w{0,12}|\bmariadb[\w-]{0,12})\b[^\n]{0,300}?[\s\"'\[]-p(?=\S)"
    r"|\bsshpass[\"',\s]{1,5}-p[\"',\s]{0,5}|\bredis-cli\b[^\n]{0,300}?[\s\"'\[]-a[\"',\s]{1,5})"
    r"(?!\[)[^\s\"',\]]{1,200}"
)
"""``mysql -pvalue`` and others whose option for the password is one letter."""

_LOGIN = re.compile(r"((?:^|(?<=[\s\"'\[]))(?:-u|--user)[\"']?[,=]?\s{0,3}[\"']?(?!\d)[^\s:\"']{1,80}:)[^\s\"']{1,200}")
"""curl's ``-u user:password``."""

_SCHEME = re.compile(r"(?i)(?<!\w)(bearer|basic)(\s{1,3})([\w.~+/=-]{6,4000})")

_NAME = re.compile(
    r"(?P<quote>[\"']?)(?<![\w-])(?P<name>-{0,2}[^\W\d][\w.-]{0,80})[\"']?\s{0,2}(?P<sign>=>|:=|==?|:)\s{0,2}"
    r"|(?P<flag>--?[^\W\d][\w.-]{0,80})[\"']?,?\s{1,3}(?=[^\s-])"
    r"|(?P<phrase>(?i:password|passphrase|identified\s{1,3}by))\s{1,3}(?:is\s{1,3})?(?=[\"'])"
)
"""A name and what leads to its value: ``name=``, ``'name': ``, ``--name ``, ``PASSWORD '``."""
_VALUE = re.compile(
    r"\"(?:\\.|[^\"\\]){0,4000}\"?|'(?:\\.|[^'\\]){0,4000}'?"
    r"|(?:(?i:bearer|basic|token|digest|apikey|negotiate)\s{1,3})?[^\s;&\"']{1,4000}",
    re.DOTALL,
)
_CLOSING = {"[": "]", "(": ")", "{": "}"}
_MAX_VALUE = 4000
_COOKIES = re.compile(r"[^\"'\r\n]{1,4000}")
_HARMLESS = frozenset({"yes", "no", "true", "false", "none", "null", "nil", "undefined"})
_ABOUT_BEARERS = frozenset({"token", "tokens", "auth", "authentication", "authorization", "scheme", "header", "format"})
_PROSE = re.compile(
    r"(?!(?i:bearer|basic|token|digest|apikey|negotiate)\s)[A-Za-z]{1,30}[,.]?[ ][A-Za-z]{1,30}(?![\w]*\s{0,2}[:=])"
)
"""``password: must be long``: a sentence goes on, no value is given."""


def redact_known(text: str, is_secret_name: Callable[[str], bool], redacted: str) -> str:
    """The text with every secret that has one of the forms of this file replaced by `redacted`."""
    text = _ADDRESS.sub(f"{redacted}@", text)  # first: its user may be the key of a known service
    text = _WHOLE.sub(redacted, text)
    text = _HOOK.sub(rf"\g<1>{redacted}", text)
    text = _BOT.sub(redacted, text)
    text = _OPTION.sub(rf"\g<1>{redacted}", text)
    text = _TAG.sub(lambda tag: f"{tag[1]}{redacted}" if is_secret_name(tag["name"]) else tag[0], text)
    text = _QUERY.sub(rf"\g<1>{redacted}", text)
    text = _LOGIN.sub(rf"\g<1>{redacted}", text)
    text = "".join(_without_values(text, is_secret_name, redacted))
    return _SCHEME.sub(lambda match: _scheme(match, redacted), text)


def _without_values(text: str, is_secret_name: Callable[[str], bool], redacted: str) -> Iterator[str]:
    done = position = 0
    while match := _NAME.search(text, position):
        position = match.end()
        if match["phrase"] is None and not is_secret_name((match["name"] or match["flag"]).strip("-")):
            continue
        value = _value(text, match)
        if value and not value.strip("\"'").startswith(redacted):
            yield text[done:position] + _quoted(value, redacted)
            done = position = position + len(value)
    yield text[done:]


def _value(text: str, match: re.Match[str]) -> str:
    """The value that follows a secret's name; empty where none does."""
    start = match.end()
    following = text[start : start + 1]
    if following and following in _CLOSING:
        value = _bracketed(text, start)
    elif (match["name"] or "").lower().endswith(("cookie", "authorization")) and following not in ('"', "'"):
        value = _matched(_COOKIES, text, start)
    else:
        value = _matched(_VALUE, text, start)
    core = value.strip(")],.\"'")
    if core.lower() in _HARMLESS or not value.strip("\"'"):
        return ""
    if match["sign"] != ":" or match["quote"]:
        return value
    is_parsers = match["name"].lower().endswith("token") and len(core) < 8  # unexpected token: '}'
    return "" if is_parsers or _PROSE.match(text, start) else value


def _matched(pattern: re.Pattern[str], text: str, start: int) -> str:
    found = pattern.match(text, start)
    return found[0] if found else ""


def _bracketed(text: str, start: int) -> str:
    """From a bracket to the one that closes it."""
    open_brackets: list[str] = []
    for at, char in enumerate(text[start : start + _MAX_VALUE], start):
        if char in _CLOSING:
            open_brackets.append(_CLOSING[char])
        elif open_brackets and char == open_brackets[-1]:
            open_brackets.pop()
        if not open_brackets:
            return text[start : at + 1]
    return text[start : start + _MAX_VALUE]


def _quoted(value: str, redacted: str) -> str:
    quote = value[0] if value[0] in "\"'" else ""
    return f"{quote}{redacted}{quote}"


def _scheme(match: re.Match[str], redacted: str) -> str:
    scheme, gap, value = match.groups()
    return f"{scheme}{gap}{redacted}" if (_is_login if scheme.lower() == "basic" else _is_bearer)(value) else match[0]


def _is_bearer(value: str) -> bool:
    return value.lower() not in _ABOUT_BEARERS and (not value.islower() or not value.isalpha() or len(value) >= 16)


def _is_login(value: str) -> bool:
    """Return whether base64 holds ``user:password``."""
    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return False
