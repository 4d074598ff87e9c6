"""The packages as an admin gets and installs them: the built ones, and a next version of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.lab.machine import Machine
from tests.lab.process import run

NEXT = "+next1"
"""What the next version's number ends with."""
APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes")
_TEXTS = ("DEBIAN/control", "usr/lib/python3/dist-packages/vtunlib/version.py")


def next_version(debs: Sequence[Path], directory: Path) -> list[Path]:
    """The same packages as of a next version, built into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    made = []
    for deb in debs:
        name, version, _ = deb.stem.split("_")
        tree = directory / name
        run(["dpkg-deb", "--raw-extract", str(deb), str(tree)])
        for text in _TEXTS:
            file = tree / text
            if file.exists():
                file.write_text(file.read_text().replace(version, f"{version}{NEXT}"))
        # Another file of the package is there, a former one no more.
        notes = tree / f"usr/share/doc/{name}"
        (notes / "NEWS").write_text("The next version.\n")
        (notes / "changelog.gz").unlink(missing_ok=True)
        made.append(directory / f"{name}_{version}{NEXT}_all.deb")
        run(["dpkg-deb", "--root-owner-group", "--build", str(tree), str(made[-1])])
    return made


def offer(machine: Machine, debs: Sequence[Path]) -> list[str]:
    """Put the files into the running machine; their names there, as apt takes them."""
    target = Path(f"/proc/{machine.leader}/root/debs")
    target.mkdir(exist_ok=True)
    for deb in debs:
        (target / deb.name).write_bytes(deb.read_bytes())
    return [f"/debs/{deb.name}" for deb in debs]


def install(machine: Machine, names: Sequence[str]) -> str:
    """Install, reinstall, upgrade or downgrade to these; what apt said."""
    options = ["--no-install-recommends", "--reinstall", "--allow-downgrades"]
    told = machine.run([*APT, "install", *options, *names], deadline=300)
    return told.out + told.err


def versions(machine: Machine, names: Sequence[str]) -> set[str]:
    """Of these packages, as installed."""
    packages = [re.split("[/_]", name)[-3] for name in names]
    return set(machine.run(["dpkg-query", "-W", "-f", "${Version}\n", *packages]).out.split())
