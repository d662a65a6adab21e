"""Ways from a relay to its clients."""
