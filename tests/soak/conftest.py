"""An RDV and a customer's network without its onsite, and the image that a card is made from."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.card import image_of
from tests.lab.lab import Lab
from tests.lab.topology import topology
from vtunlib.tunnel import Role


@pytest.fixture(scope="session")
def rdv() -> Iterator[Lab]:
    """The lab with nobody but the RDV switched on."""
    with Lab(topology(desks=0), name=os.environ.get("LAB_NAME", "soak")) as lab:
        lab.install()
        lab.build()
        lab.start_rdv()
        yield lab


@pytest.fixture(scope="session")
def image() -> Path:
    """An onsite's, as the product's stages make it."""
    return image_of(Role.ONSITE)


@pytest.fixture
def chance() -> random.Random:
    """The same again with SOAK_SEED, which is printed."""
    seed = int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(10**6)))
    print(f"SOAK_SEED={seed}", flush=True)
    return random.Random(seed)  # noqa: S311
