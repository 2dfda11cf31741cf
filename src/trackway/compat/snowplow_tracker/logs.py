"""The logger of the old tracker's emitters: its name and level, and no handler that prints."""

import logging

logger = logging.getLogger("snowplow_tracker.emitters")
logger.addHandler(logging.NullHandler())
# An application that has chosen a level before us keeps it.
if logger.level == logging.NOTSET:
    logger.setLevel(logging.INFO)
