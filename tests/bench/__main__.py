"""How fast the product is, in the lab on this machine: figures, no verdicts.

/usr/bin/python3 -m tests.bench [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from ipaddress import IPv4Interface
from pathlib import Path

from tests.bench.audit_kills import kill_writers
from tests.bench.card import onsite_image
from tests.bench.cutting_off import until_cut_off
from tests.bench.enrolment import enrolments
from tests.bench.figures import Figure, shown
from tests.bench.hotplug import hotplug
from tests.bench.restart import restart
from tests.lab.lab import Lab
from tests.lab.process import LabError
from tests.lab.test_tls import dialling, wait_online_by
from tests.lab.topology import CAMERA, CUSTOMER_LAN

ROUNDS = 20
IPERF_SECONDS = 5
CUT_OFFS = 10
AUDIT_KILLS = 100
TLS_ROUNDS = 3


def until_first_ping(lab: Lab, mode: str) -> float:
    """Seconds from `masterdev connect` until the laptop's first answered ping of the camera."""
    onsite = lab.plan.sites[0].account
    lab.wait_ports()  # after L2 the adapter is looked at anew
    started = time.perf_counter()
    lab.master.run(["masterdev", "connect", onsite, "-m", mode, "--detach"], deadline=60)
    # Asked every 20 ms, so that the figure is no coarser than that.
    ping = ["ping", "-n", "-q", "-i", "0.02", "-c", "1", "-w", "10", str(CAMERA)]
    lab.laptop.run(ping, deadline=15)
    needed = time.perf_counter() - started
    lab.master.run(["masterdev", "disconnect"])
    return needed


def throughput(lab: Lab, mode: str) -> float:
    """Mbit/s of one TCP stream from the camera to the laptop, through both legs."""
    onsite = lab.plan.sites[0].account
    lab.master.run(["masterdev", "connect", onsite, "-m", mode, "--detach"], deadline=60)
    try:
        with lab.camera.start(["iperf3", "--server", "--one-off", "--forceflush"]) as server:
            server.wait_line("Server listening")
            client = ["iperf3", "--client", str(CAMERA), "--reverse", "--json", "--time", str(IPERF_SECONDS)]
            told = json.loads(lab.laptop.run(client, deadline=IPERF_SECONDS + 20).out)
        return float(told["end"]["sum_received"]["bits_per_second"]) / 1e6
    finally:
        lab.master.run(["masterdev", "disconnect"])


def measure(lab: Lab, rounds: int) -> list[Figure]:
    """All figures."""
    figures = []
    for mode in ("L3", "L2"):
        if mode == "L3":
            lab.laptop.dhcp()
        else:
            lab.laptop.static(IPv4Interface((CUSTOMER_LAN[200], 24)), lab.plan.sites[0].lan.router.ip)
        times = [until_first_ping(lab, mode) for _ in range(rounds)]
        figures.append(
            Figure(f"connect to first ping, {mode}, median", statistics.median(times), "s", rounds)
        )
        figures.append(Figure(f"connect to first ping, {mode}, slowest", max(times), "s", rounds))
        figures.append(Figure(f"TCP camera to laptop, {mode}", throughput(lab, mode), "Mbit/s", 1))
    times = [until_cut_off(lab) for _ in range(CUT_OFFS)]
    figures.append(
        Figure("disable to connection and session ended, median", statistics.median(times), "s", CUT_OFFS)
    )
    figures.append(Figure("disable to connection and session ended, slowest", max(times), "s", CUT_OFFS))
    return figures


def by_tls(lab: Lab) -> list[Figure]:
    """One stream with the onsite direct and inside TLS, by turns, for the machine's load varies."""
    lab.laptop.dhcp()
    direct, inside = [], []
    for _ in range(TLS_ROUNDS):
        direct.append(throughput(lab, "L3"))
        with dialling(lab.onsite, 'transport = "tls"'):
            wait_online_by(lab.onsite, "tls")
            inside.append(throughput(lab, "L3"))
    return [
        Figure("TCP, onsite direct, median", statistics.median(direct), "Mbit/s", TLS_ROUNDS),
        Figure("TCP, onsite inside TLS, median", statistics.median(inside), "Mbit/s", TLS_ROUNDS),
    ]


def audit_losses() -> list[Figure]:
    """What killed writers lost of the audit, on the file system of /var, where the product has it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:  # its own folder in it
        losses = kill_writers(Path(directory) / "audit.db", AUDIT_KILLS)
    return [
        Figure("audit rows lost, writer killed", losses.lost + losses.doubled, "rows", AUDIT_KILLS),
        Figure("audit rows said to be kept meanwhile", losses.kept, "rows", AUDIT_KILLS),
    ]


def main() -> int:
    """Entry of `make bench`."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        with Lab(name="bench") as lab:
            lab.up()
            figures = measure(lab, arguments.rounds) + by_tls(lab) + enrolments(lab)
        figures += [*audit_losses(), *restart(), *hotplug(), *onsite_image()]
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(json.dumps([vars(figure) for figure in figures], indent=2) if arguments.json else shown(figures))
    print(f"on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
