"""One session between an onsite and a master, and all of them: decided, made, watched, taken away."""
