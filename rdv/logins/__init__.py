"""Who logs in from where: what sshd and stunnel say of it, who is refused, and who comes twice."""
