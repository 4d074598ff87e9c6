"""What the machines in QEMU are made from, as far as it is decided before anything is made."""

from __future__ import annotations

import pytest

from tests.image.foreign import recipe
from tests.image.initrd import loading_order
from tests.lab.process import LabError

MODULES_DEP = """\
kernel/fs/jbd2/jbd2.ko:
kernel/fs/mbcache.ko:
kernel/fs/ext4/ext4.ko: kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko
kernel/lib/crc16.ko:
kernel/drivers/block/virtio-blk.ko:
"""


def test_a_module_is_loaded_after_what_it_needs_and_once() -> None:
    order = loading_order(MODULES_DEP, ("virtio_blk", "ext4", "jbd2"))
    assert order == [
        "kernel/drivers/block/virtio-blk.ko",
        "kernel/lib/crc16.ko",
        "kernel/fs/jbd2/jbd2.ko",
        "kernel/fs/mbcache.ko",
        "kernel/fs/ext4/ext4.ko",
    ]


def test_a_module_that_the_kernel_has_not_is_named() -> None:
    with pytest.raises(LabError, match="no module xfs"):
        loading_order(MODULES_DEP, ("xfs",))


def test_the_foreign_root_has_what_a_master_depends_on_and_not_what_the_server_does() -> None:
    packages = recipe(["python3-vtunlib", "tundev-common", "tundev-master"]).packages
    assert {"dnsmasq-base", "network-manager", "python3-pyudev", "udev"} <= set(packages)
    assert "python3-prometheus-client" not in packages
