"""The master's page: its server, masterdev-web.service."""
