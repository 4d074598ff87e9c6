"""What `make demo` shows: a technician's laptop reaches a camera on a customer's LAN.

Three machines get the product by apt, the admin adds two devices, a session is opened
routed (L3) and then bridged (L2). Every step is the real thing; nothing is left behind.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from tests.lab.debian import REPOSITORY
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.process import LabError
from tests.lab.roles import installed
from tests.lab.show import Show
from tests.lab.snapshot import snapshot
from tests.lab.topology import CAMERA, RDV_NAME, topology

NAME = "demo"
LOG = REPOSITORY / "build" / "demo-journals.log"
URL = f"http://{CAMERA}/"


def main() -> int:
    """Run the demo; 0 if all of it worked."""
    show = Show()
    try:
        with Lab(topology(), name=NAME) as lab:
            try:
                _demo(lab, show)
            except LabError:
                _keep_journals(lab)
                raise
    except LabError as error:
        show.failed(str(error))
        if LOG.exists():
            show.note(f"The machines' journals are in {LOG}.")
        return 1
    except KeyboardInterrupt:
        show.failed("interrupted; everything has been removed")
        return 130
    show.table()
    return 0


def _demo(lab: Lab, show: Show) -> None:
    LOG.unlink(missing_ok=True)
    _machines(lab, show)
    before = snapshot(lab.rdv)
    onsite = lab.plan.sites[0].account
    show.heading("L3: a routed session; the laptop gets an address from the master")
    _session(lab, show, onsite, "L3")
    show.heading("L2: a bridged session; the laptop gets an address from the customer's own router")
    lease = _session(lab, show, onsite, "L2")
    router = lab.plan.sites[0].lan.router.ip
    if lease != str(router):
        raise LabError(f"in L2 the lease came from {lease}, not from the customer's router {router}")
    with show.step("RDV: routes, firewall and forwarding are as before"):
        if changed := before.difference(snapshot(lab.rdv)):
            raise LabError("something was left on the RDV:\n" + "\n".join(changed))


def _machines(lab: Lab, show: Show) -> None:
    show.heading("Three machines, each behind its own network")
    kept = " (kept from before)" if installed() else ""
    with show.step(f"apt installs the three roles' packages{kept}"):
        lab.install()
    with show.step("networks: internet, customer's LAN, support desk, NAT routers"):
        lab.build()
    with show.step("the RDV server boots"):
        lab.start_rdv()
    with show.step("the admin adds two devices"):
        lab.add_devices()
    site, desk = lab.plan.sites[0], lab.plan.desks[0]
    show.note(f"{RDV_NAME}  {site.onsite} = {site.account}, {site.location}  {desk.master} = {desk.account}")
    with show.step("the onsite and the master boot, dial in and are online"):
        lab.start_devices()
        lab.wait_online()
    _say(show, lab.rdv, ["rdv-admin", "device", "list"])
    _say(show, lab.master, ["masterdev", "list"])


def _session(lab: Lab, show: Show, onsite: str, mode: str) -> str:
    """One session from connect to disconnect; the address of the DHCP server that the laptop met."""
    connect = ["masterdev", "connect", onsite, "-m", mode, "--reason", "demo", "--detach"]
    with show.step(f"{mode}: masterdev connect, until the customer's LAN answers"):
        told = lab.master.run(connect, deadline=60).out
    show.said(lab.master.name, shlex.join(connect), told)
    with show.step(f"{mode}: the laptop gets its address by DHCP"):
        lease = lab.laptop.dhcp()
    show.note(f"{lab.laptop.name} has {lease.address}, from {lease.server}")
    with show.step(f"{mode}: the laptop pings the camera with 1472 bytes"):
        lab.laptop.ping(str(CAMERA), size=1472).check(lab.laptop.name)
    with show.step(f"{mode}: the laptop fetches the camera's page"):
        page = lab.laptop.fetch(URL).out
    if page != lab.camera.page():
        raise LabError(f"{URL} showed something else than the camera's page:\n{page}")
    show.said(lab.laptop.name, f"curl {URL}", page)
    show.note("Who is connected to whom:")
    _say(show, lab.rdv, ["rdv-admin", "session", "list"])
    _say(show, lab.master, ["masterdev", "status"])
    with show.step(f"{mode}: masterdev disconnect"):
        lab.master.run(["masterdev", "disconnect"])
    with show.step(f"{mode}: the laptop reaches the camera no more"):
        if lab.laptop.ping(str(CAMERA), wait=1).code == 0:
            raise LabError("the camera still answers the laptop after the session")
    lab.laptop.forget()
    return str(lease.server)


def _say(show: Show, host: Host, argv: Sequence[str]) -> None:
    show.said(host.name, shlex.join(argv), host.run(argv).out)


def _keep_journals(lab: Lab) -> None:
    LOG.parent.mkdir(exist_ok=True)
    LOG.write_text(lab.journals(400), encoding="utf-8")
