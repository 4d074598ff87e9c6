"""Machines of the devices' own architecture, emulated by QEMU: real kernel, real udev, real USB."""
