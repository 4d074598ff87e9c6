#!/bin/bash -e
# The kernel comes with an image, not by apt: its initrd and the boot partition belong to it.

install -Dm644 files/hold.pref "${ROOTFS_DIR}/etc/apt/preferences.d/tundev-image"
