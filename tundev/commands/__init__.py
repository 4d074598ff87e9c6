"""What a person types on a device: a module for each command, and one for each word of it."""
