"""The tunnelling devices: the agents of onsite and master, and the commands a person types."""
