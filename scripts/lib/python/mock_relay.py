#!/usr/bin/env python3
"""Runs one relay and prints what it gets: mock_relay.py [--domain D] [--runtime-dir DIR]."""

from __future__ import annotations

import sys

from torq_services.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["demo", "mock-relay"]
    main()
