"""The console's process: ``python -m torq_web console --runtime-dir DIR``."""

from __future__ import annotations

import sys

from torq_services.instance.parent import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    from torq_web.console_process import main

    sys.exit(main())
