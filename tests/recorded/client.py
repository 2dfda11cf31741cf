"""Sends events of every kind with the real snowplow-tracker and prints what was sent as JSON.

Run by the interpreter of .venv-peers: ``client.py URL post|get base64|plain COUNT``. Each line of
the output is one call: its method, its arguments, the facts of its subject, and the ids of the
events that it made.
"""

import copy
import json
import sys
import warnings

import requests  # type: ignore[import-untyped, unused-ignore]
from snowplow_tracker import (  # type: ignore[import-not-found, unused-ignore]
    Emitter,
    PagePing,
    PageView,
    ScreenView,
    SelfDescribing,
    SelfDescribingJson,
    StructuredEvent,
    Subject,
    Tracker,
)

EVENTS = {
    "PageView": PageView,
    "PagePing": PagePing,
    "ScreenView": ScreenView,
    "SelfDescribing": SelfDescribing,
    "StructuredEvent": StructuredEvent,
}
#: A time that differs from the clock's, so that a mix-up of the two is seen (milliseconds).
TRUE_TIME = 1_600_000_000_000

SHOP = {"name": "Tasse „Größe“", "category": "kitchen", "unit_price": 9.5, "currency": "EUR"}
PAGE = {
    "page_url": "https://shop.example/caf%C3%A9/lamps?utm_source=news&q=a+b#top",
    "page_title": "Lampen & Öfen – 50 % 🎉",
    "referrer": "https://www.google.de/search?q=lamps",
}


def described(name, data):
    return {"schema": f"iglu:com.acme/{name}/jsonschema/1-0-0", "data": data}


def calls(n):
    """The calls of one round: a method and its arguments; ``n`` makes them differ."""
    order = {
        "order_id": f"order-{n}",
        "total_value": 35.25 + n,
        "affiliation": "Web shop",
        "tax_value": 5.75,
        "shipping": 4,
        "city": "Köln",
        "state": "NRW",
        "country": "Germany",
        "currency": "EUR",
        "items": [
            {"sku": "sku-1", "price": 20, "quantity": 1, "name": "Lamp", "category": "light"},
            {"sku": "sku-2", "price": 7.625, "quantity": 2},
        ],
    }
    yield "track_page_view", PAGE
    yield "track_page_view", {"page_url": f"http://shop.example/{n}"}
    yield "track_page_ping", PAGE | {"min_x": 0, "max_x": 10, "min_y": -5, "max_y": 20 + n}
    yield "track_screen_view", {"name": f"Level {n}", "id_": f"level-{n}"}
    mobile = {"name": "Home", "type": "tab", "previous_name": "Start"}
    mobile["id_"] = "5e9e3a5c-3f6f-4f0b-8b1c-0d2f1a3b4c5d"
    mobile["previous_id"] = "6e9e3a5c-3f6f-4f0b-8b1c-0d2f1a3b4c5d"
    yield "track_mobile_screen_view", mobile | {"previous_type": "x", "transition_type": "push"}
    yield "track_struct_event", {"category": "shop", "action": "add"}
    struct = {"category": "mix", "action": "play ▶", "label": "a=b&c", "property_": "50%\\"}
    yield "track_struct_event", struct | {"value": -0.25 * n}
    signed = described("signed_up", {"plan": "pro", "n": n, "tags": ["€", None, True], "x": {}})
    yield "track_self_describing_event", {"event_json": signed}
    yield "track_unstruct_event", {"event_json": described("left", {"why": "line\nend\t'\""})}
    yield "track_ecommerce_transaction", order
    item = {"order_id": f"o-{n}", "sku": "s", "price": 1.5, "quantity": 3, "name": "N"}
    yield "track_ecommerce_transaction_item", item | {"category": "C", "currency": "USD"}
    link: dict[str, object] = {
        "target_url": "https://x.example/?a=b",
        "element_id": "go",
        "element_target": "_top",
    }
    link |= {"element_classes": ["big", "red"], "element_content": "Go!"}
    yield "track_link_click", link
    yield "track_add_to_cart", SHOP | {"sku": "s-1", "quantity": 2}
    yield "track_remove_from_cart", SHOP | {"sku": "s-1", "quantity": 1}
    change = {"form_id": "f", "element_id": "mail", "node_name": "INPUT", "type_": "email"}
    yield "track_form_change", change | {"value": "a@b.example", "element_classes": ["wide"]}
    field = {"name": "q", "value": "tea", "nodeName": "INPUT", "type": "text"}
    yield "track_form_submit", {"form_id": "f", "form_classes": ["a"], "elements": [field]}
    search = {"terms": ["tea", "grün"], "filters": {"shop": "north", "new": True}}
    yield "track_site_search", search | {"total_results": 19, "page_results": n}
    yield "PageView", PAGE
    yield "PagePing", PAGE | {"min_x": 1, "max_x": 2, "min_y": 3, "max_y": 4}
    yield "ScreenView", {"id_": "7e9e3a5c-3f6f-4f0b-8b1c-0d2f1a3b4c5d", "name": "Object"}
    yield "SelfDescribing", {"event_json": described("object", {"n": n})}
    yield "StructuredEvent", struct | {"value": 1e16}


def full_subject(n):
    """A subject on which every setter was called, and the same facts by their setters' names."""
    facts = {
        "platform": "web",
        "user_id": f"user-{n % 7} ü",
        "screen_resolution": [1920, 1080],
        "viewport": [1280, 720],
        "color_depth": 24,
        "timezone": "Europe/Berlin",
        "lang": "de-DE",
        "domain_user_id": f"device-{n % 11}",
        "domain_session_id": "8e9e3a5c-3f6f-4f0b-8b1c-0d2f1a3b4c5d",
        "domain_session_index": 3,
        "ip_address": "203.0.113.77",
        "useragent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like "
        "Gecko) Chrome/126.0.0.0 Safari/537.36",
        "network_user_id": "9e9e3a5c-3f6f-4f0b-8b1c-0d2f1a3b4c5d",
    }
    subject = Subject()
    for name, value in facts.items():
        values = value if isinstance(value, list) else [value]
        getattr(subject, f"set_{name}")(*values)
    return subject, facts


class NotingTracker(Tracker):  # type: ignore[misc, unused-ignore]
    """The real tracker; keeps the ids that it gave."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.ids = []

    def track(self, event):
        self.ids.append(super().track(event))
        return self.ids[-1]


def objects(arguments):
    """What the tracker wants as objects of its own."""
    made = dict(arguments)
    if "event_json" in made:
        made["event_json"] = SelfDescribingJson(**made["event_json"])
    if "context" in made:
        made["context"] = [SelfDescribingJson(**one) for one in made["context"]]
    return made


def main(url, method, coding, count):
    emitter = Emitter(
        url, method=method, batch_size=10 if method == "post" else 1, session=requests.Session()
    )
    tracker = NotingTracker(
        "recorder", emitter, app_id="shop-app", encode_base64=coding == "base64"
    )
    sent = n = 0
    while sent < count:
        for name, arguments in calls(n):
            subject, facts = full_subject(n) if n % 2 == 0 else (None, {})
            arguments = dict(arguments)
            if n % 3 != 1:
                more = [described("place", {"shop": n}), described("note", {"text": "€>>>???"})]
                arguments["context"] = more
            if n % 5 != 2:
                arguments["tstamp"] = TRUE_TIME + sent
            tracker.ids = []
            given = objects(copy.deepcopy(arguments))  # the tracker writes into what it gets
            if name in EVENTS:
                if "tstamp" in given:
                    given["true_timestamp"] = given.pop("tstamp")
                tracker.track(EVENTS[name](**given, event_subject=subject))
            else:
                getattr(tracker, name)(**given, event_subject=subject)
            sent += len(tracker.ids)
            note = {"method": name, "arguments": arguments, "subject": facts, "ids": tracker.ids}
            print(json.dumps(note))
            n += 1
            if sent >= count:
                break
    tracker.flush()
    if emitter.event_store.size():
        sys.exit("the collector did not take everything")


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
