"""Entry point of the `fastmlp` command, and of `python -m fastmlp`."""

from __future__ import annotations

import sys

INTERRUPTED = 130  # as in commands/error_handling.py, which cannot be imported while Ctrl-C may come


def main() -> None:
    """Run the command. Ctrl-C while its modules are imported prints a sentence, as it does later."""
    try:
        from .commands.cli import main as run
    except KeyboardInterrupt:
        print("fastmlp: Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    run()


if __name__ == "__main__":
    main()
