"""Three thousand devices over a restart of the shell service: none of them notices anything."""

from __future__ import annotations

from tests.lab.fleet import SHELL, SIZE, asked, dialled, online, rdv_alone
from tests.lab.test_kills import main_pid


def test_three_thousand_devices_stay_connected_while_the_shell_is_restarted() -> None:
    with rdv_alone() as rdv, dialled(rdv) as fleet:
        before, former = online(rdv), main_pid(rdv, SHELL)
        assert len(before) == SIZE
        rdv.run(["systemctl", "restart", SHELL], deadline=180)
        assert main_pid(rdv, SHELL) != former
        # Each is in its wait still, and the manager answers it as its own.
        assert asked(fleet) == {"right": SIZE, "closed": 0, "wrong": []}
        assert online(rdv) == before
        # Stopped for good, it leaves nothing open: the devices learn of it and dial again.
        rdv.run(
            ["systemctl", "stop", SHELL, "onsitedev-shell.socket", "masterdev-shell.socket"], deadline=180
        )
        assert asked(fleet) == {"right": 0, "closed": SIZE, "wrong": []}
