"""The networks that a device reaches out by: what is wanted of each, and which one is used."""
