"""Warnings stand until they are cleared, and are told once each way."""

from __future__ import annotations

import logging

import pytest

from rdv.manager.warnings import Warnings


def test_a_warning_stands_until_it_is_cleared_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    warnings = Warnings()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            warnings.set("acl", "acl.toml:3: bad")
        (standing,) = warnings
        warnings.set("acl", "acl.toml:4: bad")
        assert [(warning.key, warning.text, warning.since) for warning in warnings] == [
            ("acl", "acl.toml:4: bad", standing.since)
        ]
        for _ in range(2):
            warnings.clear("acl")
    assert not list(warnings)
    assert caplog.messages == ["acl.toml:3: bad", "acl.toml:4: bad", "no longer: acl.toml:4: bad"]


def test_several_stand_beside_each_other_the_oldest_first() -> None:
    warnings = Warnings()
    for key in ("b", "a", "c"):
        warnings.set(key, f"about {key}")
    warnings.clear("a")
    assert [warning.key for warning in warnings] == ["b", "c"]
