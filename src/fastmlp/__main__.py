"""`python -m fastmlp` is the `fastmlp` command."""

from .commands.cli import main

main()
