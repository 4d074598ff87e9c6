#!/bin/bash -e
# A copy of the product's root, so that the stage can be exported again.

rm -rf "${ROOTFS_DIR}"
mkdir -p "${ROOTFS_DIR}"
rsync -aHAXx --exclude /var/cache/apt/archives/ "${EXPORT_ROOTFS_DIR}/" "${ROOTFS_DIR}/"
