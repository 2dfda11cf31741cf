"""What one ``track_page_view`` costs its caller while the emitter sends; prints JSON."""

import json
import sys
import time

from trackway import AsyncEmitter, Subject, Tracker

url, count = sys.argv[1], int(sys.argv[2])
subject = Subject().set_user_id("u1").set_lang("en-GB").set_viewport(1280, 720)
subject.set_color_depth(32).set_timezone("Europe/London")
emitter = AsyncEmitter(url)
tracker = Tracker(emitter, subject, "bench", "shop", steps=[lambda event: event])


def calls(number: int) -> list[int]:
    took = []
    clock = time.perf_counter_ns
    with tracker.scope(user_id="u2"):
        for i in range(number):
            began = clock()
            tracker.track_page_view(
                f"http://shop.example/{i % 50}", "A page", "http://ref.example/"
            )
            took.append(clock() - began)
    return took


calls(200)
took = sorted(calls(count))
left = emitter.flush(30)
print(
    json.dumps(
        {
            "p50_us": took[count // 2] / 1e3,
            "p99_us": took[count * 99 // 100] / 1e3,
            "left": left,
            "sent": emitter.stats()["sent"],
        }
    )
)
