"""What the manager finds again after a crash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rdv.access.reach import LAN, Reach, parse
from rdv.sessions import session_files
from rdv.sessions.session import State
from tests.unit.rdv.sessions import other, session
from vtunlib.tunnel import Role, TunnelMode


@pytest.mark.parametrize("reach", [LAN, parse(["192.168.1.50 443/tcp", "10.0.0.0/8"])])
@pytest.mark.parametrize("mode", list(TunnelMode))
def test_a_session_is_found_again_as_it_was(tmp_path: Path, mode: TunnelMode, reach: Reach) -> None:
    one = session(mode, reach)
    session_files.save(one, State.LEGS, tmp_path)
    session_files.save(one, State.UP, tmp_path)
    assert session_files.load(tmp_path) == [(one, State.UP)]


def test_a_session_of_a_manager_that_knew_no_reach_is_passed_over(tmp_path: Path) -> None:
    session_files.save(session(), State.UP, tmp_path)
    path = tmp_path / "0123abcd.json"
    data = json.loads(path.read_text())
    del data["reach"]
    path.write_text(json.dumps(data))
    assert session_files.load(tmp_path) == []


def test_only_root_reads_secrets(tmp_path: Path) -> None:
    session_files.save(session(), State.UP, tmp_path)
    files = [session_files.save_leg(session(), role, tmp_path) for role in Role]
    for path in (*files, tmp_path / "0123abcd.json"):
        assert path.stat().st_mode & 0o777 == 0o600
        assert session().onsite.parameters.tunnel_secret in path.read_text() or "master" in path.name


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"id": "../../etc"}', '{"id": "0123abcd", "state": "up"}']
)
def test_a_file_that_cannot_be_read_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "ffffffff.json").write_text(text)
    session_files.save(session(), State.UP, tmp_path)
    assert session_files.load(tmp_path) == [(session(), State.UP)]


def test_nothing_stays_of_a_session_that_is_over(tmp_path: Path) -> None:
    kept = other(session(), "89abcdef")
    for one in (session(), kept):
        session_files.save(one, State.UP, tmp_path)
        for role in Role:
            session_files.save_leg(one, role, tmp_path)
    session_files.forget(session().id, tmp_path)
    session_files.forget(session().id, tmp_path)  # once more is no error
    assert [one for one, _ in session_files.load(tmp_path)] == [kept]
    assert len(list(tmp_path.iterdir())) == 3
    (tmp_path / "0123abcd.json.new").touch()
    session_files.forget_others({kept.id}, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    session_files.forget_others(set(), tmp_path)
    assert list(tmp_path.iterdir()) == []
