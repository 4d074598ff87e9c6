"""The lab's command line: the demo, machines to try things in, and cleaning up.

/usr/bin/python3 -m tests.lab demo                               what make demo shows
/usr/bin/python3 -m tests.lab up [--sites N] [--desks N] [--clash N] [--bare] [--name LAB]
                                                                the whole lab, until Ctrl-C
/usr/bin/python3 -m tests.lab run LAB/HOST -- CMD…              run a command in a host of it

/usr/bin/python3 -m tests.lab machine NAME [--bind SRC:DST[:rw]]…   boot a machine, leave it running
/usr/bin/python3 -m tests.lab run NAME -- CMD…                  run a command in it
/usr/bin/python3 -m tests.lab stop NAME                         power it off and remove it
/usr/bin/python3 -m tests.lab clean [LAB]                       remove what interrupted labs left
/usr/bin/python3 -m tests.lab base                              make the base root if there is none
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from tests.lab import demo
from tests.lab.adhoc import boot_machine, find_host, stop_machine
from tests.lab.base import base_root
from tests.lab.clean import clean, clean_all
from tests.lab.lab import Lab
from tests.lab.place import Place
from tests.lab.process import LabError, environment
from tests.lab.roles import DIST
from tests.lab.topology import topology


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    machine = commands.add_parser("machine", help="boot a machine and leave it running")
    machine.add_argument("name")
    machine.add_argument("--bind", action="append", default=[], metavar="SRC:DST[:rw]")
    runner = commands.add_parser("run", help="run a command in a machine")
    runner.add_argument("name")
    runner.add_argument("argv", nargs=argparse.REMAINDER)
    commands.add_parser("demo", help="one session from installed packages")
    up = commands.add_parser("up", help="bring the whole lab up and hold it until Ctrl-C")
    up.add_argument("--sites", type=int, default=1, help="customers, all with the same subnet")
    up.add_argument("--desks", type=int, default=1, help="support desks")
    up.add_argument("--clash", type=int, action="append", default=[], help="desk on the customers' subnet")
    up.add_argument("--bare", action="store_true", help="without the product")
    up.add_argument("--name", default="play")
    commands.add_parser("stop", help="power a machine off and remove it").add_argument("name")
    commands.add_parser("clean", help="remove what interrupted labs left").add_argument("lab", nargs="?")
    commands.add_parser("base", help="make the base root").add_argument("--fresh", action="store_true")
    return parser


def _binds(texts: list[str]) -> list[str]:
    """nspawn's options for SRC[:DST[:rw]]; read-only unless asked otherwise."""
    binds = []
    for text in texts:
        source, target, mode = (*text.split(":"), "", "")[:3]
        path = Path(source).resolve()
        if not path.exists():
            raise LabError(f"--bind {text}: there is no {path}")
        binds.append(f"--bind{'' if mode == 'rw' else '-ro'}={path}:{target or path}")
    return binds


def _up(arguments: argparse.Namespace) -> None:
    plan = topology(sites=arguments.sites, desks=arguments.desks, clashing=arguments.clash)
    started = time.monotonic()
    with Lab(plan, name=arguments.name, packages=None if arguments.bare else DIST) as lab:
        lab.up()
        print(f"up after {time.monotonic() - started:.1f} s; Ctrl-C ends it. Hosts:")
        for host in lab.hosts:
            print(f"  {arguments.name}/{host.name}")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


def _main(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "machine":
            started = time.monotonic()
            failed = boot_machine(arguments.name, _binds(arguments.bind))
            print(
                f"{arguments.name} is up after {time.monotonic() - started:.1f} s",
                *(f"; failed: {u}" for u in failed),
            )
            return 1 if failed else 0
        case "demo":
            return demo.main()
        case "up":
            _up(arguments)
        case "run":
            argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
            if not argv:
                raise LabError("run NAME -- CMD: no command given")
            command = [*find_host(arguments.name).prefix(), *argv]
            os.execvpe(command[0], command, environment())  # noqa: S606  # becomes the command
        case "stop":
            stop_machine(arguments.name)
        case "base":
            print(base_root(fresh=arguments.fresh))
        case "clean" if arguments.lab:
            with Place(arguments.lab) as place:
                clean(place)
        case "clean":
            done, busy = clean_all()
            print(
                f"cleaned: {', '.join(done) or 'nothing'}" + (f"; in use: {', '.join(busy)}" if busy else "")
            )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(_main(_parser().parse_args()))
    except LabError as error:
        sys.exit(f"lab: {error}")
