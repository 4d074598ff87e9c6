#!/bin/bash -e
# Our packages of this role, and from the archive what they depend on.

install -d "${ROOTFS_DIR}/debs"
for package in ${TUNDEV_PACKAGES}; do
    cp "${TUNDEV_DIST}/${package}"_*.deb "${ROOTFS_DIR}/debs/"
done

# No service is started while an image is built.
printf '#!/bin/sh\nexit 101\n' >"${ROOTFS_DIR}/usr/sbin/policy-rc.d"
chmod 755 "${ROOTFS_DIR}/usr/sbin/policy-rc.d"

on_chroot <<'EOF'
export DEBIAN_FRONTEND=noninteractive
apt-get --option Acquire::Retries=3 --option Dpkg::Options::=--force-unsafe-io \
    install --yes --no-install-recommends /debs/*.deb
EOF

rm -r "${ROOTFS_DIR}/debs" "${ROOTFS_DIR}/usr/sbin/policy-rc.d"
