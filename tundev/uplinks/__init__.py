"""The networks that a device reaches out by: what tundev.toml says, and what NetworkManager is told."""
