"""A device's own card: its file on the boot partition is taken over, and what came of it is told there."""
