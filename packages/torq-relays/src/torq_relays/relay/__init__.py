"""A relay: the engine around one log, and its side of every connection."""
