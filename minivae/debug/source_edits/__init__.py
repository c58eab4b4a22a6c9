"""A user's own source, edited in small ways and run again: what its author may have meant."""
