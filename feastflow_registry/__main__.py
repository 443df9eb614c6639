"""``python -m feastflow_registry``."""

import sys

try:
    from feastflow_registry.cli import main

    code = main()
except KeyboardInterrupt:  # Before anything could be done.
    print("The run was cancelled.", file=sys.stderr)
    code = 130
sys.exit(code)
