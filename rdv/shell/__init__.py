"""A device's connection to its shell: lines and answers, kept over a restart, and the way to the manager."""
