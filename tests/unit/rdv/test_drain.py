"""New sessions are refused while a file says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdv import drain
from vtunlib.errors import Draining


def test_new_sessions_are_refused_with_the_reason_until_it_is_over(tmp_path: Path) -> None:
    file = tmp_path / "drain"
    drain.check(file)
    assert drain.begin("new kernel at 18:00", file)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Draining, match=r"takes no new sessions for now: new kernel at 18:00; try again"):
        drain.check(file)
    assert drain.end(file)
    drain.check(file)


def test_the_same_again_changes_nothing_and_another_reason_does(tmp_path: Path) -> None:
    file = tmp_path / "drain"
    assert not drain.end(file)
    assert drain.begin("", file)
    first = drain.now(file)
    assert not drain.begin("", file)
    assert drain.now(file) == first
    assert drain.begin("soon", file)
    found = drain.now(file)
    assert found is not None and found.reason == "soon"


def test_what_somebody_else_wrote_there_counts_and_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "drain"
    file.write_bytes(b"\xff\x1b[2J\n\n")
    found = drain.now(file)
    assert found is not None and found.reason.isprintable()
    file.write_text("")
    with pytest.raises(Draining):
        drain.check(file)
