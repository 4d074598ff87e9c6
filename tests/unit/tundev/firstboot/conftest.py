"""A device's card and what the device keeps, as folders; a bundle with a secret of each kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab.customer import make_key
from tundev.firstboot.boot_partition import BootPartition
from tundev.firstboot.taking_over import Places

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGzSfdB1DIFYpq6GCxyYLdgMPN7PqsPGcJLTGZTfrC6Q"
RDV = f'[rdv]\nserver = "rdv.example.com"\naccount = "rpi1100"\nhost_key = "{HOST_KEY}"\n'
PROXY = "http://desk:S3cret@10.0.0.1:3128"
PIN = "84722"


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("key") / "one-time"
    make_key(file)
    return file.read_text()


@pytest.fixture
def bundle(private: str) -> str:
    return f"{RDV}proxy = '{PROXY}'\nenrol_key = '''\n{private}'''\n\n[web] # the page\npin = '{PIN}'\n"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("boot", "etc"):
        (tmp_path / name).mkdir()
    etc = tmp_path / "etc"
    return Places(BootPartition(tmp_path / "boot"), os.getegid(), etc / "tundev.toml", etc / "id_ed25519")


def put(places: Places, text: str | bytes) -> None:
    places.boot.bundle.write_bytes(text if isinstance(text, bytes) else text.encode())


def on_card(places: Places) -> str:
    return places.boot.bundle.read_bytes().decode()
