#!/bin/bash -e
# A copy of the product's root, so that the stage can be exported again.

PREV_ROOTFS_DIR="${EXPORT_ROOTFS_DIR}" copy_previous
