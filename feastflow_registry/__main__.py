"""``python -m feastflow_registry``."""

import sys

from feastflow_registry.cli import main

sys.exit(main())
