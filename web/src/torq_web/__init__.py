"""The Torq console: live relay state and signals in a browser."""

from __future__ import annotations

from torq_web.app import create_app

__all__ = ["create_app"]
