"""A Celery application whose task tracks one event.

``LOST_BROKER`` is the URL of the broker, ``LOST_PREFIX`` begins all its keys, and each task that is
done appends a line with the number of its process to the file ``LOST_DONE``.
"""

import os
from pathlib import Path

from celery import Celery  # type: ignore[import-untyped, unused-ignore]

from benchmarks.scenarios.application import send

app = Celery("lost", broker=os.environ["LOST_BROKER"])
app.conf.task_default_queue = "lost"
app.conf.task_ignore_result = True
app.conf.broker_transport_options = {"global_keyprefix": os.environ["LOST_PREFIX"]}


@app.task(name="lost.track")  # type: ignore[untyped-decorator, unused-ignore]
def track() -> None:
    send(1)
    with Path(os.environ["LOST_DONE"]).open("a") as done:
        done.write(f"{os.getpid()}\n")
