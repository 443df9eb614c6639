"""``python -m feastflow_registry``, and what is installed as ``feastflow-registry``."""

import sys


def start() -> None:
    """Run the program, and end with its exit code."""
    try:
        from feastflow_registry.cli import main

        code = main()
    except KeyboardInterrupt:  # Before anything could be done.
        print("The run was cancelled.", file=sys.stderr)
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    start()
