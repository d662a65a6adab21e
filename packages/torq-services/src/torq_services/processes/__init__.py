"""One file per supervised process: it connects nodes to relays, signals and clocks."""
