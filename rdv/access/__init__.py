"""Who may reach whom, when, in which mode and how far: the rules of `/etc/rdv/acl.toml`."""
