"""An error keeps its class on each of its ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtunlib import errors
from vtunlib.errors import RdvError, from_dbus, from_shell, named


def subclasses(base: type[RdvError]) -> list[type[RdvError]]:
    children = [kind for kind in base.__subclasses__() if kind.__module__ == errors.__name__]
    return [base, *(kind for child in children for kind in subclasses(child))]


ALL = subclasses(RdvError)


@pytest.mark.parametrize("kind", ALL)
def test_an_error_crosses_the_shell_and_the_bus_as_itself(kind: type[RdvError]) -> None:
    error = kind("no such device", "see show_online_onsite_devs")
    across = from_shell(error.shell_line())
    assert type(across) is kind
    assert str(across) == str(error) == "no such device; see show_online_onsite_devs"
    assert type(from_dbus(error.dbus_name, str(error))) is kind


def test_each_class_has_an_exit_code_of_its_own() -> None:
    codes = [kind.exit_code for kind in ALL]
    assert len(set(codes)) == len(codes)
    assert 0 not in codes


@given(st.text(), st.text())
def test_an_error_is_one_printable_line_whatever_text_it_is_made_of(message: str, hint: str) -> None:
    line = errors.Busy(message, hint).shell_line()
    assert line.isprintable()
    assert line.splitlines() == [line]
    assert isinstance(from_shell(line), errors.Busy)


def test_an_answer_is_no_error() -> None:
    assert from_shell("ready") is None
    assert from_shell("**") is None


@pytest.mark.parametrize("line", ["*** something went wrong", "*** Nonsense: text", "*** "])
def test_an_error_of_an_unknown_class_is_a_plain_one(line: str) -> None:
    assert type(from_shell(line)) is RdvError


def test_a_foreign_error_of_the_bus_keeps_its_name_in_the_text() -> None:
    error = from_dbus("org.freedesktop.DBus.Error.LimitsExceeded", "too many")
    assert type(error) is RdvError
    assert str(error) == "org.freedesktop.DBus.Error.LimitsExceeded: too many"


def test_only_errors_can_be_named() -> None:
    assert type(named("SystemExit", "x")) is RdvError
