"""What one ``track_page_view`` costs its caller while the emitter sends; prints JSON."""

import json
import sys
import tempfile
import time

from trackway import AsyncEmitter, SelfDescribingJson, Subject, Tracker

mode, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
subject = Subject().set_user_id("u1").set_lang("en-GB").set_viewport(1280, 720)
subject.set_color_depth(32).set_timezone("Europe/London")
spool = tempfile.TemporaryDirectory(prefix="trackway-bench-")
emitter = AsyncEmitter(url, spool=spool.name if mode == "spool" else None)
steps = [lambda event: event] if mode == "step" else []
tracker = Tracker(emitter, subject, "bench", "shop", steps=steps)
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


def calls_in_a_scope(number: int) -> list[int]:
    with tracker.scope(user_id="u2"):
        return calls(number)


measured = calls_in_a_scope if mode == "step" else calls
measured(200)
took = sorted(measured(count))
left = emitter.flush(30)
assert not left, emitter.stats()
tracker.close()
print(json.dumps({"p50_us": took[count // 2] / 1e3, "p99_us": took[count * 99 // 100] / 1e3}))
