"""The command line; ``main`` is what the ``trackway`` script calls."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Without its packages, say how to get them."""
    try:
        from trackway.cli.commands import cli
    except ImportError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit(f"trackway: {error.name} is not installed: pip install 'trackway[server]'")
    cli(prog_name="trackway")
