"""How many events a second arrive at a local sink, and what CPU time each costs; prints JSON."""

import json
import sys
import time

from trackway import AsyncEmitter, Tracker

url, count = sys.argv[1], int(sys.argv[2])
emitter = AsyncEmitter(url, max_queue_bytes=256 * 1024 * 1024)
tracker = Tracker(emitter, namespace="bench", app_id="shop")


def flow(number: int) -> None:
    for i in range(number):
        tracker.track_page_view(f"http://shop.example/{i % 50}", "A page", "http://ref.example/")
    assert emitter.flush(60) == 0, emitter.stats()


flow(1000)
began, cpu = time.perf_counter(), time.process_time()
flow(count)
seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
print(json.dumps({"per_second": count / seconds, "cpu_us": cpu / count * 1e6}))
