"""The client of a scenario, made when this module is imported, as applications make theirs.

``LOST_LIBRARY`` names the module in ``libraries``, ``LOST_URL`` the server, and ``LOST_OPTIONS``
(JSON) the options of the library's client. At the end of the process it prints what the client has
counted, if the client counts.
"""

import atexit
import json
import os
from importlib import import_module
from typing import Any
from uuid import uuid4


def send(count: int) -> None:
    """Track ``count`` events, each with a marker that no other event has."""
    for _ in range(count):
        library.send(client, f"lost-{uuid4().hex}")


def say(**facts: Any) -> None:
    """Print one line of JSON, in one write, because several processes speak."""
    os.write(1, json.dumps({"pid": os.getpid(), **facts}).encode() + b"\n")


def _say_stats() -> None:
    if hasattr(library, "stats"):
        say(stats=library.stats(client))


atexit.register(_say_stats)  # before the client is made, so that it runs after the client's own
library = import_module(f"benchmarks.scenarios.libraries.{os.environ['LOST_LIBRARY']}")
options = json.loads(os.environ.get("LOST_OPTIONS", "{}"))
client = library.make(os.environ["LOST_URL"], **options)
