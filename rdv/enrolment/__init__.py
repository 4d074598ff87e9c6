"""How a device comes to its key: the one-time key in its bundle, and what it hands over with it."""
