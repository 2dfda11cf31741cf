"""The same as trackway_call.py for the PyPI package snowplow-tracker with its defaults."""

import json
import sys
import time

from snowplow_tracker import AsyncEmitter, Subject, Tracker

host, count = sys.argv[1].removeprefix("http://"), int(sys.argv[2])
subject = Subject().set_user_id("u1").set_lang("en-GB").set_viewport(1280, 720)
subject.set_color_depth(32).set_timezone("Europe/London")
emitter = AsyncEmitter(host, protocol="http")
tracker = Tracker("bench", emitter, subject=subject, app_id="shop")


def calls(number: int) -> list[int]:
    took = []
    clock = time.perf_counter_ns
    for i in range(number):
        began = clock()
        tracker.track_page_view(f"http://shop.example/{i % 50}", "A page", "http://ref.example/")
        took.append(clock() - began)
    return took


calls(200)
took = sorted(calls(count))
tracker.flush()
print(json.dumps({"p50_us": took[count // 2] / 1e3, "p99_us": took[count * 99 // 100] / 1e3}))
