"""The manager on the bus: who is connected, and what each of its methods does."""
