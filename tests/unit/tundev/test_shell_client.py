"""The device's end of the shell against a server that answers what the test says, over a real socket."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable

import pytest

from tests.unit.tundev.parameters import PARAMETERS
from tundev.shell_client import Shell
from vtunlib.errors import Busy, ProtocolError, RdvUnreachable, TakenOver, UsageError
from vtunlib.tunnel import VtunParameters
from vtunlib.words import Wait, Word

PROMPT = "rpi1100$ "


def against(answers: dict[str, str], use: Callable[[Shell], object]) -> object:
    """Run `use` with a shell whose server answers by line; a line that is not there ends the connection."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs, theirs.makefile("r", encoding="utf-8", newline="\n") as lines:
            theirs.sendall(PROMPT.encode())
            for line in lines:
                answer = answers.get(line.rstrip("\n"))
                if answer is None:
                    return
                theirs.sendall((answer + PROMPT).encode())

    async def run() -> object:
        async with Shell(ours, "rpi1100", open_seconds=5) as shell:
            return await use(shell)  # type: ignore[misc]

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        return asyncio.run(run())
    finally:
        thread.join()


def test_an_answer_is_its_lines() -> None:
    assert against({"get_role": "onsite\n"}, lambda shell: shell.ask(Word.GET_ROLE)) == ["onsite"]


def test_no_answer_is_no_line() -> None:
    line = "set_tunnelling_dev_hostname 'a b'"
    assert against({line: ""}, lambda shell: shell.ask(Word.SET_HOSTNAME, "a b")) == []


def test_an_error_line_is_raised_as_its_class() -> None:
    with pytest.raises(Busy, match="in a session"):
        against(
            {"connect_to_onsite_dev rpi1": "*** Busy: rpi1 is in a session with x\n"},
            lambda shell: shell.ask(Word.CONNECT_TO_ONSITE_DEV, "rpi1"),
        )


def test_a_wait_answers_with_its_word() -> None:
    answer = against({"wait_change": "changed\n"}, lambda shell: shell.wait(Word.WAIT_CHANGE))
    assert answer is Wait.CHANGED


def test_several_lines_under_way_are_answered_in_order() -> None:
    async def both(shell: Shell) -> list[list[str]]:
        return [await answer for answer in shell.send([(Word.GET_ROLE, ()), (Word.GET_TUNNEL_MODE, ())])]

    answers = {"get_role": "master\n", "get_tunnel_mode": "L3\n"}
    assert against(answers, both) == [["master"], ["L3"]]


def test_a_tunnels_secret_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        lines = against(
            {"get_vtun_parameters": "".join(f"{line}\n" for line in PARAMETERS.to_lines())},
            lambda shell: shell.ask(Word.GET_VTUN_PARAMETERS),
        )
    assert VtunParameters.from_lines(lines) == PARAMETERS  # type: ignore[arg-type]
    assert PARAMETERS.tunnel_name in caplog.text
    assert PARAMETERS.tunnel_secret not in caplog.text


@pytest.mark.parametrize("answer", ["\x1b[2Jcleared\n", "a\x07b\n"])
def test_control_characters_in_an_answer_are_refused(answer: str) -> None:
    with pytest.raises(ProtocolError):
        against({"echo": answer}, lambda shell: shell.ask(Word.ECHO))


def test_control_characters_are_never_sent() -> None:
    with pytest.raises(UsageError):
        against({}, lambda shell: shell.ask(Word.ECHO, "a\nlogout"))


def test_a_connection_that_ends_is_an_error() -> None:
    with pytest.raises(RdvUnreachable):
        against({}, lambda shell: shell.ask(Word.GET_ROLE))


def test_what_was_said_before_a_reset_is_what_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    """Who closes a socket with a line in it unread resets it: ssh does when it dies."""
    ours, theirs = socket.socketpair()

    async def run() -> None:
        with theirs:
            theirs.sendall(PROMPT.encode())
            async with Shell(ours, "rpi1100", open_seconds=5) as shell:
                (answer,) = shell.send([(Word.GET_ROLE, ())])
                theirs.sendall(b"*** TakenOver: taken over\n")
                theirs.close()
                await answer

    with pytest.raises(TakenOver, match="taken over"):
        asyncio.run(run())
    assert not caplog.records


def test_why_the_server_ended_it_is_what_is_raised() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b"*** TakenOver: taken over by a newer connection of the same account\n")
        theirs.shutdown(socket.SHUT_WR)

        async def run() -> None:
            async with Shell(ours, "rpi1100", open_seconds=5):
                pass

        with pytest.raises(TakenOver, match="taken over"):
            asyncio.run(run())


def test_a_line_that_an_older_server_refuses_and_nobody_waits_for_harms_no_other() -> None:
    async def introduced(shell: Shell) -> list[str]:
        version, role = shell.send([(Word.SET_VERSION, ("0.1.0",)), (Word.GET_ROLE, ())])
        answer = await role
        assert version.done()
        return answer

    refusal = "*** UsageError: 'set_tunnelling_dev_version' is no command; help lists the commands\n"
    assert against({"set_tunnelling_dev_version 0.1.0": refusal, "get_role": "onsite\n"}, introduced) == [
        "onsite"
    ]
