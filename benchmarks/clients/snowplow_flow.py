"""The same as trackway_flow.py for snowplow-tracker: its defaults, or its best tuning."""

import json
import sys
import time

import requests
from snowplow_tracker import AsyncEmitter, Tracker

tuning, host, count = sys.argv[1], sys.argv[2].removeprefix("http://"), int(sys.argv[3])
options = {"batch_size": 500, "session": requests.Session()} if tuning == "best" else {}
emitter = AsyncEmitter(host, protocol="http", **options)
tracker = Tracker("bench", emitter, app_id="shop")


def flow(number: int) -> None:
    for i in range(number):
        tracker.track_page_view(f"http://shop.example/{i % 50}", "A page", "http://ref.example/")
    tracker.flush()


flow(1000)
began, cpu = time.perf_counter(), time.process_time()
flow(count)
seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
print(json.dumps({"per_second": count / seconds, "cpu_us": cpu / count * 1e6}))
