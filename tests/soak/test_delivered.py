"""What `make image` has left in dist/ is online when it is switched on: pi-gen's own work, unpacked."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from image.deliver import unpacked
from image.recipe import REPOSITORY, Arch
from tests.lab.lab import Lab
from tests.soak.device import DEADLINE, device
from vtunlib.tunnel import Role

DELIVERED = sorted((REPOSITORY / "dist").glob(f"tundev-*-{Arch.ARM64}-debian*.img.xz"))
"""Those that QEMU can start: it has no firmware for Raspberry Pi's own kernel."""


@pytest.mark.parametrize("packed", DELIVERED, ids=[path.name.partition(".")[0] for path in DELIVERED])
def test_an_image_is_online_and_no_unit_has_failed(
    rdv: Lab, packed: Path, tmp_path: Path, chance: random.Random
) -> None:
    image = tmp_path / packed.stem
    unpacked(packed, image)
    role = Role(packed.name.split("-")[1])
    with device(rdv, image, tmp_path, chance, role=role) as made:
        made.switch_on()
        made.wait_online()
        assert made.guest.wait_booted(DEADLINE) == []
        for line in made.guest.run(["systemd-analyze", "time"]).out.splitlines()[:1]:
            print(f"{packed.name}: {line}", flush=True)
