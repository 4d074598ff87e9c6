"""The tundev shell: the service with which devices talk, their commands, and its links to the manager."""
