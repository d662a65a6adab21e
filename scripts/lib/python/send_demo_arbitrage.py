#!/usr/bin/env python3
"""Publishes one synthetic opportunity: send_demo_arbitrage.py [--runtime-dir DIR]."""

from __future__ import annotations

import sys

from torq_services.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["demo", "arbitrage"]
    main()
