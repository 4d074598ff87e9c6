#!/bin/bash -e
# Debian's own system, from a mirror alone: the base that pi-gen's stages 0 to 2 are otherwise.

sources() {
    local components='main non-free-firmware'
    echo "deb ${TUNDEV_MIRROR} ${RELEASE} ${components}"
    echo "deb ${TUNDEV_MIRROR} ${RELEASE}-updates ${components}"
    echo "deb ${TUNDEV_SECURITY_MIRROR} ${RELEASE}-security ${components}"
}

# force-unsafe-io: a root that is half made is thrown away, so nothing of it has to be on the disk before
# the rest. image/finish.py has the device's own dpkg careful again.
if [ ! -d "${ROOTFS_DIR}" ]; then
    mkdir -p "${STAGE_WORK_DIR}"
    rm -rf "${ROOTFS_DIR}.part"
    packages=$(sed "s/#.*//" packages | tr -s "\n" ",")
    sources | mmdebstrap --verbose --variant=apt --architectures="${ARCH}" --skip=check/qemu \
        --include="${packages}" --dpkgopt=force-unsafe-io \
        --essential-hook="install -Dm644 '${STAGE_DIR}/dpkg.cfg' \"\$1/etc/dpkg/dpkg.cfg.d/tundev-image\"" \
        --essential-hook="mkdir -p \"\$1/etc/initramfs-tools\" && echo update_initramfs=no >\"\$1/etc/initramfs-tools/update-initramfs.conf\"" \
        "${RELEASE}" "${ROOTFS_DIR}.part" -
    mv "${ROOTFS_DIR}.part" "${ROOTFS_DIR}"
fi
