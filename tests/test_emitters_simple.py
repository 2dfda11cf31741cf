"""The emitters that print and that remember: what they show, and that they never hurt."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
from typing import Any

import pytest

from trackway import SelfDescribingJson, Tracker
from trackway.emitters.console import ConsoleEmitter
from trackway.emitters.memory import MemoryEmitter

PAYLOAD = {
    "e": "pv", "tv": "t", "p": "srv", "eid": "7e6f1ab2-35f3-4f38-9e1c-4f2b6a9a1d11",
    "dtm": "1777896650784", "aid": "shop", "url": "https://shop.example/a?b=c", "uid": "u 1",
}  # fmt: skip


def printed(payload: dict[str, Any], **options: Any) -> str:
    stream = io.StringIO()
    ConsoleEmitter(stream, **options).input(payload)
    return stream.getvalue()


# Console --------------------------------------------------------------------------------------


def test_an_event_is_one_readable_line() -> None:
    assert printed(PAYLOAD) == (
        "2026-05-04T12:10:50.784Z page_view app_id=shop page_url=https://shop.example/a?b=c "
        'user_id="u 1" id=7e6f1ab2-35f3-4f38-9e1c-4f2b6a9a1d11\n'
    )


def test_a_line_says_what_the_application_said() -> None:
    stream = io.StringIO()
    tracker = Tracker(ConsoleEmitter(stream), app_id="shop")
    poster = SelfDescribingJson("iglu:com.acme/movie_poster/jsonschema/2-1-1", {"year": 1972})
    tracker.track("Signed up", {"plan": "pro"}, context=[poster])
    tracker.track_struct_event("search", "query", value=12)
    tracker.track_self_describing_event(poster)
    first, second, third = stream.getvalue().splitlines()
    assert ' "Signed up" app_id=shop' in first
    assert 'properties={"plan":"pro"}' in first
    assert 'contexts=["movie_poster"]' in first
    assert " struct app_id=shop category=search action=query" in second
    assert ' movie_poster app_id=shop properties={"year":1972}' in third


def test_pretty_shows_every_fact_as_json() -> None:
    facts = json.loads(printed(PAYLOAD, pretty=True))
    assert facts["page_url"] == "https://shop.example/a?b=c"
    assert facts["created"] == 1777896650784
    assert facts["tracker"] == "t"


def test_what_a_collector_would_refuse_is_printed_with_the_reason() -> None:
    line = printed({"e": "xx", "eid": "1"})
    assert (
        line
        == 'invalid (unknown_event: e is \'xx\', not a known event type) {"e": "xx", "eid": "1"}\n'
    )
    assert printed({}) == ""


@pytest.mark.parametrize("pretty", [False, True])
def test_nothing_in_an_event_steers_the_terminal(pretty: bool) -> None:
    evil = "a\x1b[31mb\x9b2Jc\r\nd\x07\u202e"
    data = {"schema": "iglu:com.acme/x/jsonschema/1-0-0", "data": {"evil": evil}}
    envelope = {
        "schema": "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0",
        "data": data,
    }
    payload = {**PAYLOAD, "e": "ue", "ue_pr": json.dumps(envelope), "uid": evil, "own": evil}
    for shown in (printed(payload, pretty=pretty), printed({**payload, "e": "xx"}, pretty=pretty)):
        assert shown.endswith("\n")
        lines = shown[:-1].split("\n")
        assert pretty or len(lines) == 1
        assert all(line.isprintable() for line in lines)


def test_the_stream_is_looked_up_when_an_event_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    one = ConsoleEmitter()
    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    one.input(PAYLOAD)
    assert "page_view" in later.getvalue()


def test_a_stream_that_cannot_say_it_gets_escapes() -> None:
    stream = io.TextIOWrapper(raw := io.BytesIO(), "ascii")
    ConsoleEmitter(stream).input({**PAYLOAD, "uid": "€"})
    assert b"user_id=\\u20ac" in raw.getvalue()


def test_a_stream_that_is_closed_hurts_nobody() -> None:
    stream = io.StringIO()
    one = ConsoleEmitter(stream)
    one.input(PAYLOAD)
    stream.close()
    one.input(PAYLOAD)
    assert one.stats() == {"accepted": 2, "sent": 1, "queued": 0, "dropped:unprintable": 1}


# Memory ---------------------------------------------------------------------------------------


def test_payloads_are_kept_in_order_as_copies_of_their_own() -> None:
    one = MemoryEmitter()
    mine = {"e": "pv", "tid": 7, "own": "kept"}
    one.input(mine)
    mine.clear()
    tracker = Tracker(one, app_id="shop")
    tracker.track_page_view("https://shop.example/")
    assert one.payloads[0] == {"e": "pv", "tid": 7, "own": "kept"}
    assert one.payloads[1]["url"] == "https://shop.example/"
    assert one.stats() == {"accepted": 2, "sent": 2, "queued": 0}
    one.clear()
    assert one.payloads == []
    assert one.stats()["accepted"] == 2


def test_threads_lose_nothing_in_a_memory_emitter() -> None:
    one = MemoryEmitter()
    tracker = Tracker(one)
    threads = [
        threading.Thread(target=lambda: [tracker.track("Tested") for _ in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({payload["eid"] for payload in one.payloads}) == 2000
    assert one.stats()["accepted"] == 2000


@pytest.mark.parametrize("make", [MemoryEmitter, lambda: ConsoleEmitter(io.StringIO())])
def test_both_have_the_methods_of_every_emitter(make: Any) -> None:
    with make() as one:
        assert one.put(json.dumps(PAYLOAD).encode())
        assert one.flush() == one.flush(1.0) == one.close(0.0) == 0
        assert asyncio.run(one.aflush(1.0)) == 0
    assert one.stats()["sent"] == 1
