#!/usr/bin/env python3
"""Shows the protocol's types, or the bytes of one: query_tlv_info.py [NUMBER|NAME]."""

from __future__ import annotations

import sys

from torq_services.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["demo", "tlv-info"]
    main()
