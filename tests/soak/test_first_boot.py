"""A first boot that goes wrong: its power is cut at each step, its file is bad, there is no network."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from image.layout import MIB, SECTOR
from tests.image.card import copy, partition
from tests.lab.host import wait_until
from tests.lab.lab import Lab
from tests.lab.process import run
from tests.soak import halting
from tests.soak.card import Card
from tests.soak.device import DEADLINE, device
from tundev.firstboot.boot_partition import BUNDLE, STATUS
from tundev.firstboot.taking_over import COPY, SOURCE, Found, Step, plan

PROGRAM = "/usr/lib/tundev/halting.py"
DROP_IN = f"""\
[Service]
ExecStart=
ExecStart=/usr/bin/python3 {PROGRAM}
StandardOutput=journal+console
"""
LARGER = 6 * 1024 * MIB
MOMENTS = 100


@pytest.fixture(scope="module")
def halting_image(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image, whose first boot can be told to halt after a step."""
    folder = tmp_path_factory.mktemp("halting")
    made, text = folder / image.name, folder / "drop-in"
    copy(image, made)
    text.write_text(DROP_IN)
    unit = "/etc/systemd/system/tundev-firstboot.service.d"
    commands = [f"write {halting.__file__} {PROGRAM}", f"mkdir {unit}", f"write {text} {unit}/halting.conf"]
    root = f"{made}?offset={partition(made, 2).start}"
    run(["debugfs", "-w", "-f", "-", root], stdin="\n".join(commands) + "\n")
    yield made
    made.unlink()


def left(card: Card) -> tuple[Step, ...]:
    """The steps that the next boot has to make, by what the card has."""
    file = card.mountable(4)

    def kept(name: str) -> bytes | None:
        return run(["debugfs", "-R", f"cat /config/{name}", str(file)]).out.encode() or None

    source = kept(SOURCE)
    found = Found(
        card.read(BUNDLE).encode(), kept(BUNDLE), kept(COPY), source.decode().strip() if source else None
    )
    return plan(found).steps


def test_a_power_cut_after_each_step_is_made_good_by_the_next_boot(
    rdv: Lab, halting_image: Path, tmp_path: Path, chance: random.Random
) -> None:
    """One device that has bad luck: each boot goes on where the one before was cut, and a step further."""
    every = tuple(Step)
    tidying = every[every.index(Step.BLANK) :]
    with device(rdv, halting_image, tmp_path, chance) as onsite:
        for number, step in enumerate(every, 1):
            onsite.switch_on(f"halt_after={step}")
            wait_until(
                lambda step=step: f"{halting.HALTED}{step}" in onsite.guest.console_tail(),  # type: ignore[misc]
                what=f"the step {step}",
                deadline=DEADLINE,
                every=0.2,
            )
            onsite.cut()
            # Until the file counts as taken, all of it is done again; after that, what is left.
            assert left(onsite.card) == (every[number:] if step in (Step.SOURCE, *tidying) else every)
            assert ("PRIVATE KEY" in onsite.card.read(BUNDLE)) == (step not in tidying)
        onsite.switch_on()
        onsite.wait_online()
        onsite.wait_told("Online: ")
        assert onsite.guest.wait_booted(DEADLINE) == []
        onsite.cut()
        assert left(onsite.card) == ()


def test_a_power_cut_at_any_write_leaves_what_the_next_boot_goes_on_with(
    rdv: Lab, image: Path, tmp_path: Path, chance: random.Random
) -> None:
    """One whole first boot is looked at as it would have been cut; what the next boot decides is asked."""
    with device(rdv, image, tmp_path, chance, size=LARGER) as onsite:
        onsite.switch_on()
        onsite.wait_online()
        onsite.wait_told("Online: ")
        onsite.guest.stop()
        every, seen = tuple(Step), set()
        for number, moment in enumerate(onsite.card.cuts(chance, MOMENTS)):
            faults = onsite.card.faults(root=number % 10 == 0)
            assert not faults, f"{moment}: {faults}"
            steps = left(onsite.card)
            assert steps in (every, *(every[number:] for number in range(4, 8))), f"{moment}: {steps}"
            seen.add(steps)
        print(f"{MOMENTS} moments, plans of {sorted(map(len, seen))} steps", flush=True)


def test_a_power_cut_just_when_it_has_enrolled_is_made_good(
    rdv: Lab, image: Path, tmp_path: Path, chance: random.Random
) -> None:
    """The RDV has its key; that its one-time key is used up it may or may not have written down."""
    with device(rdv, image, tmp_path, chance) as onsite:
        with rdv.rdv.start(["rdv-admin", "watch"]) as events:
            onsite.switch_on()
            events.wait_line("enrolled", deadline=DEADLINE)
        onsite.cut()
        onsite.switch_on()
        onsite.wait_online()
        told = onsite.wait_told("Online: ")
        assert "It is not enrolled yet" not in told


# Name on the card, what of the good file is in it, and what the status file says then. The other kinds
# are in tests/unit/tundev/firstboot/test_card.py.
BAD: list[tuple[str, Callable[[str], bytes], tuple[str, ...]]] = [
    (
        BUNDLE,
        lambda good: good.replace("account", "acount").encode(),
        ("[rdv] acount: is unknown", ", line "),
    ),
    (BUNDLE, lambda good: good.encode()[: len(good) // 2], ("not TOML", "at end of document")),
    (BUNDLE, lambda good: good.encode("utf-16"), ("saved as UTF-16",)),
    (f"{BUNDLE}.txt", str.encode, (f"must be called {BUNDLE}",)),
]


def test_a_bad_file_is_told_of_on_the_card_and_a_good_one_taken_at_the_next_boot(
    rdv: Lab, image: Path, tmp_path: Path, chance: random.Random
) -> None:
    with device(rdv, image, tmp_path, chance) as onsite:
        good, there = onsite.card.read(BUNDLE), BUNDLE
        for name, spoiled, reasons in BAD:
            onsite.card.delete(there)
            onsite.card.write(name, spoiled(good))
            there = name
            onsite.switch_on()
            onsite.guest.wait_booted(DEADLINE)
            onsite.wait_told(reasons[0])
            onsite.cut()
            # As who takes the card out reads it.
            told = " ".join(onsite.card.read(STATUS).split())
            print(f"{name}: {told}")
            assert all(reason in told for reason in reasons)
            assert name != BUNDLE or "This device waits for it." in told
        onsite.card.delete(there)
        onsite.card.write(BUNDLE, good.encode())
        onsite.switch_on()
        onsite.wait_online()
        onsite.wait_told("Online: ")
        assert onsite.guest.wait_booted(DEADLINE) == []


def test_without_a_network_it_says_so_and_enrols_when_there_is_one(
    rdv: Lab, image: Path, tmp_path: Path, chance: random.Random
) -> None:
    with device(rdv, image, tmp_path, chance) as onsite:
        onsite.switch_on()
        onsite.guest.monitor.command("set_link", name="uplink", up=False)
        onsite.guest.wait_booted(DEADLINE)
        told = onsite.wait_told("This onsite has no network")
        assert "It is not enrolled yet" in told
        assert not onsite.online
        onsite.guest.monitor.command("set_link", name="uplink", up=True)
        onsite.wait_online()
        onsite.wait_told("Online: ")


def test_the_data_partition_fills_a_larger_card_whenever_the_power_goes(
    rdv: Lab, image: Path, tmp_path: Path, chance: random.Random
) -> None:
    with device(rdv, image, tmp_path, chance, size=LARGER) as onsite:
        former = partition(onsite.card.file, 4)
        onsite.switch_on()
        # In the middle of it: the table says so, the file system does not yet, or just does.
        wait_until(
            lambda: partition(onsite.card.used, 4).size > former.size, what="growth", deadline=DEADLINE
        )
        onsite.cut()
        onsite.switch_on()
        onsite.wait_online()
        onsite.guest.wait_booted(DEADLINE)
        onsite.cut()
        grown = partition(onsite.card.file, 4)
        assert grown.end > LARGER - 16 * MIB
        told = run(["dumpe2fs", "-h", str(onsite.card.mountable(4))]).out
        (blocks,) = (int(line.split()[-1]) for line in told.splitlines() if line.startswith("Block count:"))
        assert blocks * 4096 > grown.size - SECTOR * 8
        assert tomllib.loads(onsite.card.read(BUNDLE))["rdv"]["enrol_key"] == "(kept on the device)"
