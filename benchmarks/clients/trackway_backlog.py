"""What waits while a collector is down: memory per event, and the longest call; prints JSON."""

import gc
import json
import sys
import time
from pathlib import Path

from trackway import AsyncEmitter, Tracker

url, count = sys.argv[1], int(sys.argv[2])
emitter = AsyncEmitter(url, max_queue_bytes=256 * 1024 * 1024)
tracker = Tracker(emitter, namespace="bench", app_id="shop")


def calls(number: int) -> list[int]:
    took = []
    clock = time.perf_counter_ns
    for i in range(number):
        began = clock()
        tracker.track_page_view(f"http://shop.example/{i % 50}", "A page", "http://ref.example/")
        took.append(clock() - began)
    return took


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


calls(10_000)
time.sleep(0.5)  # the worker has failed by now and sits out a back-off
longest = max(calls(10_000))
gc.collect()
before, queued = resident(), emitter.stats()
for i in range(count):
    tracker.track_page_view(f"http://shop.example/{i % 50}", "A page", "http://ref.example/")
now = emitter.stats()
events = now["queued"] - queued["queued"]
wire = (now["queued_bytes"] - queued["queued_bytes"]) / events + 1  # the last brace
extra = (resident() - before) / events - wire
print(json.dumps({"longest_us": longest / 1e3, "wire_bytes": wire, "extra_bytes": extra}))
emitter.close(0.0)
