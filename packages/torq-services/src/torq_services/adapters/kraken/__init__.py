"""Kraken: WebSocket v2, the older v1, and the listing that both read."""
