"""An image flashed onto a card, and booted in QEMU: `make cards`, for the image is built first."""
