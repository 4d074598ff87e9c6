#!/bin/bash -e
# What makes a general system an appliance, as far as a package cannot.

# Nobody has a password, and pi-gen's first user, with the rights that its packages give it, goes.
on_chroot <<EOF
if id -u "${FIRST_USER_NAME}" >/dev/null 2>&1; then
    deluser --quiet --remove-home "${FIRST_USER_NAME}"
fi
usermod --password '*' root
EOF
rm -f "${ROOTFS_DIR}/etc/sudoers.d/010_pi-nopasswd" "${ROOTFS_DIR}/etc/init.d/resize2fs_once" \
    "${ROOTFS_DIR}"/etc/rc?.d/???resize2fs_once

# Only what the presets name is started. They stay on the device: systemd applies presets whenever it
# takes a boot for the first one.
preset="${ROOTFS_DIR}/usr/lib/systemd/system-preset/00-tundev-image.preset"
install -d "$(dirname "${preset}")"
{
    cat "${TUNDEV_CONFIG}/common.preset" "${TUNDEV_CONFIG}/${TUNDEV_ROLE}.preset"
    echo 'disable *'
} >"${preset}"
systemctl --root="${ROOTFS_DIR}" preset-all
# An init script has no preset. This one is of the package vtun, whose server is no business of a device.
systemctl --root="${ROOTFS_DIR}" mask vtun.service

# It runs what ifupdown has in /etc/network, which is not installed: a warning at each change of a link.
rm -f "${ROOTFS_DIR}/etc/NetworkManager/dispatcher.d/01-ifupdown"

echo 'LANG=C.UTF-8' >"${ROOTFS_DIR}/etc/default/locale"
echo 'Etc/UTC' >"${ROOTFS_DIR}/etc/timezone"
ln -sf /usr/share/zoneinfo/Etc/UTC "${ROOTFS_DIR}/etc/localtime"
