"""The technician's port: the USB-Ethernet adapter on a master, and the laptop's network on it."""
