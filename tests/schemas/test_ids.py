"""Salts: random for each event, in every process, at no cost for a step beside a busy thread."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from runlore.schemas import ids


def drawn(count: int) -> list[bytes]:
    return [ids.new_salt() for _ in range(count)]


def test_no_salt_comes_twice_nor_in_a_forked_child() -> None:
    ids.new_salt()  # there is a pool that a child could inherit
    with multiprocessing.get_context("fork").Pool(1) as child:
        theirs = child.apply(drawn, (2000,))
    ours = drawn(2000)
    assert len({*ours, *theirs}) == 4000
    assert {len(salt) for salt in (*ours, *theirs)} == {ids.SALT_BYTES}


def test_hardly_a_call_asks_the_system_which_lets_another_thread_have_the_interpreter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = list[int]()
    urandom = os.urandom

    def count(size: int) -> bytes:
        asked.append(size)
        return urandom(size)

    monkeypatch.setattr(os, "urandom", count)
    drawn(2000)
    assert len(asked) <= 2000 // ids.SALTS + 1
