#!/bin/bash -e
# Our packages of this role; what they depend on is there, by the stage before this one.

install -d "${ROOTFS_DIR}/debs"
for package in ${TUNDEV_PACKAGES}; do
    cp "${TUNDEV_DIST}/${package}"_*.deb "${ROOTFS_DIR}/debs/"
done

on_chroot <<'EOF'
DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io --install /debs/*.deb
EOF

# The first upgrade goes back to these, if it has to (tundev-upgrade(1)).
rm -rf "${ROOTFS_DIR}/usr/lib/tundev/packages"
mv "${ROOTFS_DIR}/debs" "${ROOTFS_DIR}/usr/lib/tundev/packages"
