"""Units are started and stopped, and their jobs waited for; a small systemd on a private bus does it."""

from __future__ import annotations

import asyncio
import os
import socket
import time

import pytest

from tests.unit.vtunlib.fake_systemd import Script, fake_systemd
from vtunlib import units
from vtunlib.errors import NotFound, RdvError, Timeout

pytestmark = pytest.mark.usefixtures("daemon")

RUNNING = {"ActiveState": "active", "SubState": "running", "Result": "success"}


@pytest.mark.parametrize("early", [False, True])
def test_a_start_waits_for_its_own_job(early: bool) -> None:
    with fake_systemd(Script(units={"a.service": {}}, early=early)) as calls:
        units.start("a.service")
    assert ["StartUnit", ["a.service", "replace"]] in calls


@pytest.mark.parametrize("result", ["failed", "timeout", "canceled", "dependency"])
def test_a_job_that_fails_is_told_with_where_to_look(result: str) -> None:
    told = rf"^a\.service: {result}; see journalctl -u a\.service$"
    with (
        fake_systemd(Script(units={"a.service": {}}, results={"a.service": result})),
        pytest.raises(RdvError, match=told),
    ):
        units.start("a.service")


def test_a_job_that_does_not_end_is_left_at_the_deadline() -> None:
    with fake_systemd(Script(units={"a.service": {}}, results={"a.service": None})):
        started = time.monotonic()
        with pytest.raises(Timeout, match=r"a\.service is not ready after 0\.3 s"):
            units.start("a.service", deadline=0.3)
        assert time.monotonic() - started >= 0.3


def test_the_loop_goes_on_while_a_thread_waits_for_a_job() -> None:
    async def main() -> int:
        waiting = asyncio.create_task(asyncio.to_thread(units.start, "a.service", deadline=1.0))
        turns = 0
        while not waiting.done():
            await asyncio.wait([waiting], timeout=0.01)
            turns += 1
        with pytest.raises(Timeout):
            await waiting
        return turns

    with fake_systemd(Script(units={"a.service": {}}, results={"a.service": None})):
        assert asyncio.run(main()) > 10


def test_an_unknown_unit_cannot_be_started_but_is_stopped_already() -> None:
    with fake_systemd():
        with pytest.raises(NotFound):
            units.start("none.service")
        units.stop("none.service")


def test_the_machine_is_started_anew_without_waiting_for_it() -> None:
    with fake_systemd(Script(units={"reboot.target": {}}, results={"reboot.target": None})) as calls:
        units.reboot()
    assert calls == [["StartUnit", ["reboot.target", "replace-irreversibly"]]]


def test_a_stop_frees_the_name_of_a_failed_unit() -> None:
    with fake_systemd(Script(units={"a.service": {}})) as calls:
        units.stop("a.service")
    members = [member for member, _ in calls]
    assert members.index("StopUnit") < members.index("ResetFailedUnit")


def test_a_transient_unit_gets_its_descriptor_and_properties() -> None:
    properties = {
        "DynamicUser": True,
        "NetworkNamespacePath": "/run/netns/rdv-1",
        "CapabilityBoundingSet": 0,
        "DevicePolicy": "closed",
        "DeviceAllow": [("/dev/net/tun", "rw")],
        "LoadCredential": [("vtund.conf", "/run/rdv/x")],
        "RestrictAddressFamilies": (True, ["AF_UNIX"]),
        "SystemCallArchitectures": ["native"],
        "UMask": 0o077,
    }
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with fake_systemd() as calls:
            units.start_transient(
                "leg.service", ["/bin/cat", "é"], stdin=theirs.fileno(), properties=properties
            )
        assert os.fstat(theirs.fileno())  # still ours to close
    body = next(body for member, body in calls if member == "StartTransientUnit")
    assert body[:2] == ["leg.service", "fail"]
    got = {name: (signature, value) for name, (signature, value) in body[2]}
    assert got["ExecStart"] == ("a(sasb)", [["/bin/cat", ["/bin/cat", "é"], False]])
    assert got["Type"] == ("s", "exec")
    assert got["CollectMode"] == ("s", "inactive-or-failed")
    assert got["StandardInputFileDescriptor"][0] == got["StandardOutputFileDescriptor"][0] == "h"
    assert got["DynamicUser"] == ("b", True)
    assert got["NetworkNamespacePath"] == ("s", "/run/netns/rdv-1")
    assert got["CapabilityBoundingSet"] == ("t", 0)
    assert got["DeviceAllow"] == ("a(ss)", [["/dev/net/tun", "rw"]])
    assert got["LoadCredential"] == ("a(ss)", [["vtund.conf", "/run/rdv/x"]])
    assert got["RestrictAddressFamilies"] == ("(bas)", [True, ["AF_UNIX"]])
    assert got["SystemCallArchitectures"] == ("as", ["native"])
    assert got["UMask"] == ("u", 0o077)


def test_a_property_of_no_known_type_is_told() -> None:
    with pytest.raises(RdvError, match="Nonsense"):
        units.start_transient("a.service", ["/bin/true"], properties={"Nonsense": 1})


def test_what_units_are_can_be_asked() -> None:
    failed = {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code"}
    known = {"rdv-leg-1@x.service": {**RUNNING, "StatusText": "two devices"}, "rdv-b.service": failed}

    with fake_systemd(Script(units=known)):
        assert units.is_active("rdv-leg-1@x.service")
        assert not units.is_active("rdv-b.service")
        assert not units.is_active("none.service")
        assert units.units_named("rdv-*") == ["rdv-b.service", "rdv-leg-1@x.service"]
        assert units.units_named("x", "rdv-*", states=["failed"]) == ["rdv-b.service"]
        assert units.units_named("rdv-b*", states=units.RUNNING) == []
        assert units.status("rdv-leg-1@x.service") == "active (running): two devices"
        assert units.status("rdv-b.service") == "failed (failed): exit-code"
        assert units.status("none.service") == "inactive (dead)"


def test_without_systemd_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    with pytest.raises(RdvError, match="cannot reach systemd"):
        units.is_active("a.service")
