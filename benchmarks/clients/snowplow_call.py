"""The same as trackway_call.py for the PyPI package snowplow-tracker with its defaults."""

import json
import sys
import time

from snowplow_tracker import AsyncEmitter, SelfDescribingJson, Subject, Tracker

mode, host, count = sys.argv[1], sys.argv[2].removeprefix("http://"), int(sys.argv[3])
subject = Subject().set_user_id("u1").set_lang("en-GB").set_viewport(1280, 720)
subject.set_color_depth(32).set_timezone("Europe/London")
emitter = AsyncEmitter(host, protocol="http")
tracker = Tracker("bench", emitter, subject=subject, app_id="shop")
context = None
if mode == "context":
    poster = {"movie_name": "Solaris", "poster_country": "JP", "poster_year": "1978-01-01"}
    context = [SelfDescribingJson("iglu:com.acme_company/movie_poster/jsonschema/2-1-1", poster)]


def calls(number: int) -> list[int]:
    took = []
    clock = time.perf_counter_ns
    for i in range(number):
        page = f"http://shop.example/{i % 50}"
        began = clock()
        tracker.track_page_view(page, "A page", "http://ref.example/", context)
        took.append(clock() - began)
    return took


calls(200)
took = sorted(calls(count))
tracker.flush()
print(json.dumps({"p50_us": took[count // 2] / 1e3, "p99_us": took[count * 99 // 100] / 1e3}))
