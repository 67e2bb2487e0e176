"""The command `smesec`, as `python -m smesec` and as the wheel's script."""

import sys

from ._native import run_command


def main() -> int:
    """Runs the command with this process's arguments; returns its exit code."""
    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
