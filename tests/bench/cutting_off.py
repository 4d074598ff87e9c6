"""How fast a device in a session is cut off."""

from __future__ import annotations

import json
import time

from tests.lab.lab import Lab


def until_cut_off(lab: Lab) -> float:
    """Seconds from `rdv-admin device disable` until its connection and its session have ended.

    The command waits for the connection; of the session's end, its tunnels among it, the
    manager tells those who watch.
    """
    onsite = lab.plan.sites[0].account
    lab.master.run(["masterdev", "connect", onsite, "--detach"], deadline=60)
    (session,) = json.loads(lab.rdv.run(["rdv-admin", "session", "list", "--json"]).out)
    with lab.rdv.start(["rdv-admin", "watch", "--json"]) as watch:
        watch.wait_line('"now"')
        started = time.perf_counter()
        lab.rdv.run(["rdv-admin", "device", "disable", onsite])
        watch.wait_line(lambda line: "session-ended" in line and session["id"] in line)
        needed = time.perf_counter() - started
    lab.rdv.run(["rdv-admin", "device", "enable", onsite])
    lab.onsite.run(["systemctl", "restart", "onsitedev.service"])  # it tries at longer and longer intervals
    lab.wait_online()
    return needed
