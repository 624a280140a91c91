"""What cannot be seen, or acts on what is around it, is written as an escape."""

from __future__ import annotations

import json
import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from runlore.schemas.visible import HIDDEN, HIDDEN_IN_LINES, visible, visible_json


def test_the_hidden_characters_are_unicode_s_controls_formats_and_separators_of_lines() -> None:
    chars = "".join(map(chr, range(sys.maxunicode + 1)))
    wanted = {char for char in chars if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert set(HIDDEN.findall(chars)) >= wanted
    newer = {char for char in HIDDEN.findall(chars) if unicodedata.category(char) != "Cn"} - wanted
    assert newer == set()
    assert set(HIDDEN.findall(chars)) - set(HIDDEN_IN_LINES.findall(chars)) == {"\n", "\t"}


def test_escapes_are_those_of_python() -> None:
    text = "a\x1b[1m\x9b\u202e\U000e0001\n\tß😀"
    assert visible(text) == r"a\x1b[1m\x9b\u202e\U000e0001\n\tß😀"
    assert visible(text, lines=True) == "a\\x1b[1m\\x9b\\u202e\\U000e0001\n\tß😀"


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_escaped_json_is_the_same_json(value: object) -> None:
    escaped = visible_json(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    assert HIDDEN.search(escaped.decode()) is None
    assert json.loads(escaped) == json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
