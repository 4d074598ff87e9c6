#!/bin/bash -e
# From the root to the files in dist/: no loop device, no mount.

cd "${TUNDEV_SOURCE}"
exec /usr/bin/python3 -m image.export
