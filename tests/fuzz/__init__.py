"""What strangers can send us, thrown at what reads it: shortly in the unit tests, for long by `make soak`."""
