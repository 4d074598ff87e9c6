#!/bin/bash -e
# What makes a general system an appliance, as far as a package cannot.

# Nobody has a password, and pi-gen's first user, with the rights that its packages give it, goes.
on_chroot <<EOF
if id -u "${FIRST_USER_NAME}" >/dev/null 2>&1; then
    userdel --remove "${FIRST_USER_NAME}"
fi
usermod --password '*' root
EOF
rm -f "${ROOTFS_DIR}/etc/sudoers.d/010_pi-nopasswd" "${ROOTFS_DIR}/etc/init.d/resize2fs_once" \
    "${ROOTFS_DIR}"/etc/rc?.d/???resize2fs_once

# pi-gen has the kernel's own names for network adapters, which change from boot to boot where there are
# several. An appliance takes udev's.
for link in 99-default 73-usb-net-by-mac; do
    rm -f "${ROOTFS_DIR}/etc/systemd/network/${link}.link"
done

# The kernel comes with an image, not by apt, whoever's it is.
install -Dm644 "${TUNDEV_CONFIG}/stage-debian/00-apt/files/hold.pref" \
    "${ROOTFS_DIR}/etc/apt/preferences.d/tundev-image"

# Only what the presets name is started. They stay on the device: systemd applies presets whenever it
# takes a boot for the first one.
preset="${ROOTFS_DIR}/usr/lib/systemd/system-preset/00-tundev-image.preset"
install -d "$(dirname "${preset}")"
{
    cat "${TUNDEV_CONFIG}/common.preset" "${TUNDEV_CONFIG}/${TUNDEV_ROLE}.preset"
    echo 'disable *'
} >"${preset}"
systemctl --root="${ROOTFS_DIR}" preset-all
# An init script has no preset. vtun's is one: its server is no business of a device.
for script in "${ROOTFS_DIR}"/etc/rc[2-5].d/S*; do
    name=$(basename "${script}" .sh)
    unit="${name#S??}.service"
    if [ ! -e "${ROOTFS_DIR}/usr/lib/systemd/system/${unit}" ]; then
        systemctl --root="${ROOTFS_DIR}" mask "${unit}"
    fi
done

# Nor has what a generator starts: cloud-init, swap, an sshd of its own on a local socket.
masked="${ROOTFS_DIR}/etc/systemd/system-generators"
install -d "${masked}"
for generator in "${ROOTFS_DIR}"/usr/lib/systemd/system-generators/*; do
    case "${generator##*/}" in
    systemd-ssh-generator) ;;
    systemd-*) continue ;;
    esac
    ln -sf /dev/null "${masked}/${generator##*/}"
done

# Nobody but root logs in, and root needs no program that gives another's rights. dpkg remembers it when
# the package is upgraded. image/check refuses what is neither taken away here nor in the list.
find "${ROOTFS_DIR}" -xdev -type f -perm /6000 -printf '/%P\n' |
    grep --line-regexp --fixed-strings --invert-match --file="${TUNDEV_CONFIG}/setuid" |
    sed 's/.*/dpkg-statoverride --force-all --quiet --update --add root root 0755 "&"/' |
    on_chroot

# The guest agent (only in QEMU, of the Debian base) would tell of each question whether a command has ended.
if [ -e "${ROOTFS_DIR}/usr/lib/systemd/system/qemu-guest-agent.service" ]; then
    quiet="${ROOTFS_DIR}/etc/systemd/system/qemu-guest-agent.service.d/quiet.conf"
    install -d "$(dirname "${quiet}")"
    printf '[Service]\nLogLevelMax=notice\n' >"${quiet}"
fi

# It runs what ifupdown has in /etc/network, which is not installed: a warning at each change of a link.
rm -f "${ROOTFS_DIR}/etc/NetworkManager/dispatcher.d/01-ifupdown"

echo 'LANG=C.UTF-8' >"${ROOTFS_DIR}/etc/default/locale"
echo 'Etc/UTC' >"${ROOTFS_DIR}/etc/timezone"
ln -sf /usr/share/zoneinfo/Etc/UTC "${ROOTFS_DIR}/etc/localtime"
