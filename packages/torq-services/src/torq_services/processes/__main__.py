"""The entry point of every supervised process: ``python -m torq_services.processes NAME``."""

from __future__ import annotations

import sys

from torq_services.instance.parent import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    from torq_services.processes.entry import main

    sys.exit(main())
