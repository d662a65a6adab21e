"""The command line, as ``python -m torq_services.cli``."""

from torq_services.cli import main

main()
