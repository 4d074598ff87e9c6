"""What happened on this server: told in one vocabulary, kept in one append-only store."""
