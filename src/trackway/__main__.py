"""``python -m trackway`` is the ``trackway`` command."""

from trackway.cli import main

main()
