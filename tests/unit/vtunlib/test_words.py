"""The grammar of the tundev shell."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtunlib import words
from vtunlib.errors import UsageError
from vtunlib.words import Word, compose, parse

PRINTABLE = st.text(st.characters(blacklist_categories=("Cs",)), max_size=200).filter(
    lambda text: all(c.isprintable() for c in text)
)


@given(st.sampled_from(Word), st.lists(PRINTABLE, max_size=4))
def test_what_is_composed_is_parsed_back(word: Word, arguments: list[str]) -> None:
    assert parse(compose(word, *arguments)) == [word, *arguments]


@given(st.text(max_size=300))
def test_any_line_is_words_or_a_usage_error(line: str) -> None:
    with suppress(UsageError):
        assert all(isinstance(word, str) for word in parse(line))


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\x1b[2J", "a\x00", "\x7f", "\u202e", "\udc80"])
def test_control_and_unprintable_characters_pass_neither_way(text: str) -> None:
    with pytest.raises(UsageError):
        compose(Word.ECHO, text)
    with pytest.raises(UsageError):
        parse(f"echo {text}")


def test_a_line_may_have_just_under_four_kibibytes() -> None:
    room = words.LINE_LIMIT - 1 - len("echo ")
    assert parse(compose(Word.ECHO, "x" * room)) == ["echo", "x" * room]
    with pytest.raises(UsageError, match="longer"):
        compose(Word.ECHO, "x" * (room + 1))
    with pytest.raises(UsageError, match="longer"):
        parse("echo " + "é" * 2048)  # bytes count, not characters


def test_an_unclosed_quote_is_told_with_a_hint() -> None:
    with pytest.raises(UsageError, match="quote words with spaces"):
        parse("echo 'a b")


def test_an_empty_line_has_no_words() -> None:
    assert parse("") == parse("   ") == []


def test_the_prompt_names_the_account() -> None:
    assert words.prompt("rpi1100") == "rpi1100$ "
