"""A WSGI application that tracks an event in each request.

``LOST_AT_IMPORT``: how many events it tracks while it is imported, before the server forks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from benchmarks.scenarios.application import send

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers with the number of the process; ``/awake`` only does that."""
    if environ["PATH_INFO"] != "/awake":
        send(1)
    time.sleep(0.01)  # long enough for another worker to take the next request
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


send(int(os.environ.get("LOST_AT_IMPORT", "0")))
