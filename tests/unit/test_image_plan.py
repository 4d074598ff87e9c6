"""What the machines in QEMU are made from, as far as it is decided before anything is made."""

from __future__ import annotations

from tests.image.foreign import recipe


def test_the_foreign_root_has_what_a_master_depends_on_and_not_what_the_server_does() -> None:
    packages = recipe(["python3-vtunlib", "tundev-common", "tundev-master"]).packages
    assert {"dnsmasq-base", "network-manager", "python3-pyudev", "udev"} <= set(packages)
    assert "python3-prometheus-client" not in packages
