"""An upgrade through its whole life, its power cut between any two steps; dpkg writes to a folder here."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.bus.page import FakeAgent
from tests.unit.vtunlib.fake_systemd import Script, fake_systemd
from tundev import agent_here
from tundev.appliance import packages, upgrade
from tundev.appliance.proof import online
from tundev.appliance.upgrade import BOOTS, Stage, Upgrade
from tundev.contract import Key
from tundev.states import State
from vtunlib.tunnel import Role

pytestmark = pytest.mark.usefixtures("system_bus")

# As the real one in what matters: what it was told to install is there afterwards.
DPKG = """\
#!/bin/sh -e
test "$DEBIAN_FRONTEND" = noninteractive
for file; do
    case $file in *.deb) cp "$file" "{root}/version" ;; esac
done
"""
SOON = 0.1
"""Seconds that nobody comes online in."""
LONG = 30.0
ONLINE: dict[str, Any] = {Key.STATE: State.SSH_CONNECTION_OK}
AT_WORK = Script(units={upgrade.SERVICE: {"ActiveState": "active"}})
FAILED = {"ActiveState": "failed"}
NO_NETWORK: dict[str, Any] = {Key.STATE: State.LAN_WAIT}


class PowerCutError(BaseException):
    """Nothing runs any more."""


class Card:
    """The data partition, what is installed, and the device that has both."""

    def __init__(self, path: Path) -> None:
        self.kept = path / "kept"
        self.root = path / "root"
        self.boots = 0
        self.agent: dict[str, Any] | None = ONLINE
        """What the agent says of itself; None: there is none."""

    def begin(self) -> None:
        """As after `tundev-upgrade` took the files of version 2, where version 1 is installed."""
        for folder in (self.kept, self.root):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        for name, version in (("installed", "1"), ("new.x", "2")):
            (self.kept / name).mkdir()
            (self.kept / name / "a.deb").write_text(version)
        (self.root / "version").write_text("1")
        upgrade.save(Upgrade("2", folder="new.x", boot=f"b{self.boots}"), upgrade.STATE)

    @property
    def state(self) -> Upgrade | None:
        """What the next boot will find."""
        return upgrade.load(upgrade.STATE)

    @property
    def installed(self) -> str:
        """The version of the root."""
        return (self.root / "version").read_text()

    @property
    def goes_back_to(self) -> str:
        """The version that is kept for that."""
        return (self.kept / "installed/a.deb").read_text()

    @property
    def told(self) -> str:
        """What a person is told."""
        return packages.OUTCOME.read_text()

    def serve(self) -> None:
        """The service, in this boot, to its end."""
        asyncio.run(self._serve())

    def boot(self) -> None:
        """The power is switched on, and the service runs where there is something to do."""
        self.boots += 1
        if self.state is not None:
            self.serve()

    async def _serve(self) -> None:
        agent = FakeAgent()
        if self.agent is not None:
            agent.state |= self.agent
            await agent.start()
        try:
            noted = self.state
            assert noted is not None
            limit = LONG if self.agent == ONLINE else SOON
            found, fault = upgrade.found_by_boot(noted, f"b{self.boots}")
            await upgrade.carry_on(found, fault, lambda: None, proof=limit)
        finally:
            if self.agent is not None:
                agent.stop()


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    """With programs that do as dpkg, mount and sync do, and an agent."""
    card, programs = Card(tmp_path), tmp_path / "bin"
    programs.mkdir()
    for name in ("dpkg", "mount", "sync"):
        (programs / name).write_text(DPKG.format(root=card.root) if name == "dpkg" else "#!/bin/sh\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(packages, "WHERE", card.kept)
    monkeypatch.setattr(packages, "INSTALLED", card.kept / "installed")
    monkeypatch.setattr(packages, "OUTCOME", card.kept / "outcome")
    monkeypatch.setattr(upgrade, "STATE", card.kept / "state.json")
    monkeypatch.setattr(upgrade, "PATIENCE_SECONDS", SOON)
    monkeypatch.setitem(agent_here.PROGRAMS, Role.MASTER, Path("/bin/sh"))
    card.begin()
    return card


@pytest.fixture
def systemd() -> Iterator[None]:
    """One that knows of no unit."""
    with fake_systemd():
        yield


@contextmanager
def cut_before(step: int) -> Iterator[Callable[[], bool]]:
    """The power is cut before the `step`th thing that is written; whether it was."""
    left, places = itertools.count(step, -1), [(Path, "rename"), (Path, "unlink"), (os, "fsync")]
    off = False

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def done(*arguments: Any, **more: Any) -> Any:
            nonlocal off
            off = off or next(left) == 0
            if off:
                raise PowerCutError
            return real(*arguments, **more)

        return done

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in [*places, (shutil, "rmtree")]:
            patch.setattr(owner, name, counted(getattr(owner, name)))
        with suppress(PowerCutError):
            yield lambda: off


def test_a_good_one_is_kept_when_a_boot_was_online_with_it(card: Card) -> None:
    card.serve()
    assert (card.installed, card.goes_back_to) == ("2", "1")
    assert card.state is not None and card.state.stage is Stage.SETTLING
    assert card.told.startswith("Upgraded to 2; the former version is kept until")
    card.serve()
    assert card.goes_back_to == "1", "there was no boot"
    card.boot()
    assert (card.installed, card.goes_back_to, card.told) == ("2", "2", "Upgraded to 2.\n")
    assert sorted(path.name for path in card.kept.iterdir()) == ["installed", "outcome"]


def test_a_good_one_ends_well_wherever_its_power_is_cut(card: Card) -> None:
    for boot in (card.serve, card.boot):
        for step in itertools.count():
            card.begin()
            if boot == card.boot:
                card.serve()
            with cut_before(step) as was_cut:
                boot()
            card.boot()
            card.boot()
            assert (card.installed, card.goes_back_to, card.told) == ("2", "2", "Upgraded to 2.\n"), step
            assert card.state is None
            if not was_cut():
                break
        assert step > 5


def test_a_bad_one_ends_at_the_former_wherever_its_power_is_cut(card: Card) -> None:
    card.agent = None
    for step in itertools.count():
        card.begin()
        with cut_before(step) as was_cut:
            card.serve()
        card.boot()
        assert (card.installed, card.goes_back_to) == ("1", "1"), step
        assert "failed, and this device went back" in card.told
        assert card.state is None
        if not was_cut():
            break
    assert step > 5


def test_a_full_card_takes_no_good_version_back(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    card.serve()
    opened = os.open

    def full(path: Any, flags: int, *more: Any, **others: Any) -> int:
        if flags & os.O_CREAT and card.kept in Path(path).parents:
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, flags, *more, **others)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        card.boot()
    assert (card.installed, card.goes_back_to) == ("2", "1")
    assert card.state is not None and card.state.stage is Stage.SETTLING
    card.boot()
    assert (card.installed, card.goes_back_to, card.told) == ("2", "2", "Upgraded to 2.\n")


# another, while there is one


def test_a_newer_one_is_taken_before_the_last_has_settled(card: Card, tmp_path: Path) -> None:
    card.serve()
    settling = card.state
    assert settling is not None
    (tmp_path / "a.deb").write_text("3")
    with fake_systemd(AT_WORK):
        assert not upgrade.is_at_work(settling)
        for step in itertools.count():
            upgrade.save(settling, upgrade.STATE)
            with cut_before(step) as was_cut:
                upgrade.take([tmp_path / "a.deb"], "3")
            if not was_cut():
                break
            noted = card.state
            assert noted is not None and noted.version in "23"
            assert (noted.new / "a.deb").read_text() == noted.version, "whole wherever it is noted"
    assert step > 3
    assert card.goes_back_to == "1", "no boot was online with version 2"
    card.serve()
    card.boot()
    assert (card.installed, card.goes_back_to, card.told) == ("3", "3", "Upgraded to 3.\n")


def test_what_could_not_go_back_may_be_replaced_when_its_service_has_ended(
    card: Card, tmp_path: Path
) -> None:
    (card.kept / "installed/a.deb").unlink()
    card.agent = None
    card.serve()
    assert "could not go back: there are no packages in" in card.told
    returning = card.state
    assert returning is not None and returning.stage is Stage.RETURNING
    for running in (AT_WORK, Script(units={upgrade.RESCUE: {"ActiveState": "activating"}})):
        with fake_systemd(running):
            assert upgrade.is_at_work(returning)
    with fake_systemd(Script(units={upgrade.SERVICE: FAILED})):
        assert not upgrade.is_at_work(returning)
        (tmp_path / "a.deb").write_text("3")
        upgrade.take([tmp_path / "a.deb"], "3")
    card.agent = ONLINE
    card.serve()
    card.boot()
    assert (card.installed, card.goes_back_to) == ("3", "3")


# a boot that is not online


def test_boots_that_end_before_it_is_online_are_counted(card: Card) -> None:
    card.serve()
    for _ in range(BOOTS):
        card.boots += 1
        with cut_before(4) as was_cut:
            card.serve()
        assert was_cut() and card.state is not None and card.state.stage is Stage.SETTLING
    card.boot()
    assert f"was started {BOOTS} times" in card.told and card.installed == "1"


@pytest.mark.usefixtures("system_bus", "systemd")
@pytest.mark.parametrize(
    ("agent", "told"),
    [
        (None, "after a start the device was not online, and its agent did not run"),
        (NO_NETWORK, "the device was not online within"),  # in the day that it is waited for
    ],
)
def test_a_boot_that_is_not_online_goes_back(card: Card, agent: dict[str, Any] | None, told: str) -> None:
    card.serve()
    card.agent = agent
    card.boot()
    assert (card.installed, card.goes_back_to) == ("1", "1")
    assert told in card.told


async def waited(agent: FakeAgent, seconds: float = SOON, patience: float = LONG) -> str | None:
    """What is found of a device whose agent has no network, and gets one when it is waited on."""
    agent.state |= NO_NETWORK
    await agent.start()
    heard = asyncio.get_running_loop().create_task(online(seconds, patience))
    try:
        while not heard.done():
            await asyncio.wait([heard], timeout=3 * SOON)
            agent.tell(ONLINE)
        return heard.result()
    finally:
        agent.stop()


def test_a_network_that_comes_late_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(agent_here.PROGRAMS, Role.MASTER, Path("/bin/sh"))
    caplog.set_level("INFO")
    with fake_systemd(Script(units={"tundev-report.service": {}, "other.service": FAILED})):
        assert asyncio.run(waited(FakeAgent())) is None
    assert "nothing of ours is why" in caplog.text


@pytest.mark.parametrize("state", ["failed", "activating"])
def test_a_unit_of_ours_that_fails_is_why_it_is_not_online(
    monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setitem(agent_here.PROGRAMS, Role.MASTER, Path("/bin/sh"))
    with fake_systemd(Script(units={"tundev-uplink@master.service": {"ActiveState": state}})):
        told = asyncio.run(waited(FakeAgent()))
    assert told is not None and told.endswith("not online, and tundev-uplink@master.service failed")
