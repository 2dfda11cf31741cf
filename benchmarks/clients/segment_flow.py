"""The same as trackway_flow.py for the PyPI package segment-analytics-python."""

import json
import sys
import time

from segment.analytics.client import Client

url, count = sys.argv[1], int(sys.argv[2])
client = Client("key", host=url, max_queue_size=count + 1000)


def flow(number: int) -> None:
    for i in range(number):
        page = {"url": f"http://shop.example/{i % 50}", "referrer": "http://ref.example/"}
        client.page("u1", "shop", "A page", page)
    client.flush()


flow(1000)
began, cpu = time.perf_counter(), time.process_time()
flow(count)
seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
print(json.dumps({"per_second": count / seconds, "cpu_us": cpu / count * 1e6}))
