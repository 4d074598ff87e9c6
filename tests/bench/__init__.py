"""Measurements, in the lab, of the installed packages: `make bench`."""
