"""The loggers of Trackway, fetched when there is something to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


def logger(name: str = "trackway") -> logging.Logger:
    """The logger of this name. Nothing is configured: levels and handlers are the application's.

    ``logging`` is imported here and not at the top of modules, because it takes as long as
    half of ``import trackway``, and a tracker that nothing goes wrong with needs none.
    """
    import logging

    return logging.getLogger(name)
