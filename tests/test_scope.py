"""Scopes: facts hold for one thread or task, and users never mix, whatever runs at once."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import importlib.util
import json
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.conftest import clean_environment, missing
from trackway import Event, MemorySink, SelfDescribingJson, Subject, Tracker
from trackway import scope as scopes


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def tracker(sink: MemorySink) -> Tracker:
    return Tracker(sinks=[sink])


@pytest.fixture(autouse=True)
def _no_scope_is_left_open() -> Iterator[None]:
    yield
    left = scopes.current()
    for variable in contextvars.copy_context():
        if variable.get() is left:
            variable.set(None)  # so that the fault is that of this test only
    assert left is None


def users(sink: MemorySink) -> list[tuple[str, str | None]]:
    return [(event.name, event.user_id) for event in sink.events]


def context(name: str, /, **data: Any) -> SelfDescribingJson:
    return SelfDescribingJson(f"iglu:com.example/{name}/jsonschema/1-0-0", data)


# Facts ----------------------------------------------------------------------------------------


def test_facts_hold_inside_the_block_only(tracker: Tracker, sink: MemorySink) -> None:
    tracker.track("before")
    with tracker.scope(user_id="u1", language="de", session_index=3):
        tracker.track("inside")
    tracker.track("after")
    facts = [(event.user_id, event.language, event.session_index) for event in sink.events]
    assert facts == [(None, None, None), ("u1", "de", 3), (None, None, None)]


@pytest.mark.parametrize(
    "track",
    [
        lambda t: t.track("x"),
        lambda t: t.track_page_view("https://a.example/"),
        lambda t: t.track_page_ping("https://a.example/"),
        lambda t: t.track_screen_view("HUD"),
        lambda t: t.track_struct_event("a", "b"),
        lambda t: t.track_self_describing_event(context("x")),
        lambda t: t.track_ecommerce_transaction(
            "o1", 3, items=[{"sku": "s", "price": 3, "quantity": 1}]
        ),
        lambda t: t.track_ecommerce_transaction_item("o1", "s", 3, 1),
    ],
)
def test_every_kind_of_event_gets_the_facts(
    track: Callable[[Tracker], object], tracker: Tracker, sink: MemorySink
) -> None:
    with tracker.scope(user_id="u1", contexts=[context("tenant")]):
        track(tracker)
    assert sink.events
    assert {event.user_id for event in sink.events} == {"u1"}
    assert all(event.contexts == (context("tenant"),) for event in sink.events)


def test_the_call_wins_over_the_scope_and_the_scope_over_the_subject(sink: MemorySink) -> None:
    subject = Subject("app").set_user_id("of the subject").set_lang("de").set_timezone("UTC")
    tracker = Tracker(sinks=[sink], subject=subject)
    with tracker.scope(user_id="of the scope", language="en"):
        tracker.track("one", user_id="of the call")
        tracker.track("two")
    one, two = sink.events
    assert (one.user_id, one.language, one.time_zone) == ("of the call", "en", "UTC")
    assert (two.user_id, two.platform) == ("of the scope", "app")


def test_an_inner_scope_wins_and_leaves_the_rest(tracker: Tracker, sink: MemorySink) -> None:
    with tracker.scope(user_id="outer", language="de"):
        with tracker.scope(user_id="inner", page_url="https://a.example/"):
            tracker.track("inner")
        tracker.track("outer")
    facts = [(event.user_id, event.language, event.page_url) for event in sink.events]
    assert facts == [("inner", "de", "https://a.example/"), ("outer", "de", None)]


def test_a_scope_of_nobody_hides_the_user_of_the_outer_one(
    tracker: Tracker, sink: MemorySink
) -> None:
    with tracker.scope(user_id="u1", language="de"), tracker.scope(user_id=None):
        tracker.track("somebody else's")
    assert (sink.events[0].user_id, sink.events[0].language) == (None, "de")


def test_many_nested_scopes_close_one_by_one(tracker: Tracker, sink: MemorySink) -> None:
    def go(depth: int) -> None:
        if depth:
            with tracker.scope(user_id=str(depth)):
                go(depth - 1)
                tracker.track_struct_event("depth", str(depth))

    go(100)
    assert [event.user_id for event in sink.events] == [str(n) for n in range(1, 101)]


def test_an_exception_closes_the_scope_and_passes(tracker: Tracker, sink: MemorySink) -> None:
    with tracker.scope(user_id="outer"):
        with pytest.raises(KeyError, match="application"), tracker.scope(user_id="inner"):
            raise KeyError("application")
        tracker.track("after")
    assert users(sink) == [("after", "outer")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration])
def test_whatever_leaves_the_block_closes_the_scope(
    tracker: Tracker, error: type[BaseException]
) -> None:
    with pytest.raises(error), tracker.scope(user_id="u1"):
        raise error


def test_a_scope_that_closes_after_the_one_around_it_leaves_nothing_behind(
    tracker: Tracker, sink: MemorySink
) -> None:
    outer, inner = tracker.scope(user_id="outer"), tracker.scope(user_id="inner")
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    inner.__exit__(None, None, None)
    tracker.track("after")
    assert users(sink) == [("after", None)]


def test_an_exit_stack_may_hold_many_scopes(tracker: Tracker, sink: MemorySink) -> None:
    with ExitStack() as stack:
        for number in range(10):
            stack.enter_context(tracker.scope(user_id=f"u{number}"))
        tracker.track("inside")
    tracker.track("after")
    assert users(sink) == [("inside", "u9"), ("after", None)]


# Contexts -------------------------------------------------------------------------------------


def test_contexts_of_scopes_and_calls_add_up_from_the_outside(
    tracker: Tracker, sink: MemorySink
) -> None:
    with tracker.scope(contexts=[context("a"), context("b")]):
        with tracker.scope(contexts=[context("c")]):
            tracker.track_page_view("https://a.example/", context=[context("d")])
        tracker.track("outer")
    inner, outer = sink.events
    assert inner.contexts == tuple(map(context, "abcd"))
    assert outer.contexts == tuple(map(context, "ab"))


def test_contexts_may_be_written_as_in_a_call(tracker: Tracker, sink: MemorySink) -> None:
    written = (
        {"schema": "iglu:com.example/a/jsonschema/1-0-0", "data": {}},
        {"schema": "com.example/b/jsonschema/1-0-0", "data": {"x": 1}},
        context("c"),
    )
    with tracker.scope(contexts=iter(written)):
        tracker.track("one")
        tracker.track("two")
    for event in sink.events:
        assert event.contexts == (context("a"), context("b", x=1), context("c"))


def test_a_list_that_changes_later_does_not_change_the_scope(
    tracker: Tracker, sink: MemorySink
) -> None:
    contexts = [context("a")]
    with tracker.scope(contexts=contexts):
        contexts.append(context("b"))
        tracker.track("one")
    assert sink.events[0].contexts == (context("a"),)


def test_no_contexts_are_no_contexts(tracker: Tracker, sink: MemorySink) -> None:
    with tracker.scope(user_id="u1", contexts=[]):
        tracker.track("one")
    assert sink.events[0].contexts == ()


# Facts that are known late --------------------------------------------------------------------


def test_late_facts_are_asked_for_at_each_event(tracker: Tracker, sink: MemorySink) -> None:
    session: dict[str, Any] = {"user_id": None}
    with tracker.scope(user_id="guest", late=lambda: session):
        tracker.track("before the login")
        session["user_id"] = "u1"
        tracker.track("after the login")
        with tracker.scope(user_id="admin"):
            tracker.track("inner")
    expected = [("before the login", "guest"), ("after the login", "u1"), ("inner", "admin")]
    assert users(sink) == expected


def test_late_none_drops_the_events_and_counts_them(tracker: Tracker, sink: MemorySink) -> None:
    with tracker.scope(late=lambda: None):
        tracker.track("unwanted")
        with tracker.scope(user_id="u1"):
            tracker.track("unwanted as well")
    tracker.track("wanted")
    assert users(sink) == [("wanted", None)]
    assert tracker.pipeline.stats["dropped:scope"] == 2


# Users never mix ------------------------------------------------------------------------------

PEOPLE, EACH = 100, 100  # 10,000 events


class ForeignEmitter:
    """Takes payloads as somebody else's emitter does."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | None, str]] = []

    def input(self, payload: dict[str, str]) -> None:
        self.seen.append((payload.get("uid"), payload["se_ac"]))


class OurEmitter(ForeignEmitter):
    """Takes payloads as ours do, with or without their last brace."""

    def put(self, item: bytes) -> bool:
        self.input(json.loads(item if item.endswith(b"}") else item + b"}"))
        return True


class SinkOfEvents(ForeignEmitter):
    """Takes the events themselves."""

    def send(self, events: Any) -> None:
        self.seen += [(event.user_id, event.action) for event in events]

    def flush(self, timeout: float | None = None) -> int:
        return 0

    close = flush


@pytest.fixture(params=[ForeignEmitter, OurEmitter, SinkOfEvents], ids=lambda one: one.__name__)
def crowd(request: pytest.FixtureRequest) -> Iterator[Tracker]:
    """A tracker whose events must be those of the person that they name as their action."""
    taker = request.param()
    subject = Subject().set_user_id("the subject's")
    if request.param is SinkOfEvents:
        tracker = Tracker(sinks=[taker], subject=subject)
    else:
        tracker = Tracker(taker, subject=subject)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield tracker
    sys.setswitchinterval(usual)
    assert Counter(taker.seen) == {(str(n), str(n)): EACH for n in range(PEOPLE)}


def test_users_of_threads_do_not_mix(crowd: Tracker) -> None:
    def visit(number: int) -> None:
        with crowd.scope(user_id=str(number)):
            for _ in range(EACH):
                crowd.track_struct_event("visit", str(number))

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(visit, range(PEOPLE)))


def test_users_of_threads_that_open_and_close_scopes_do_not_mix(crowd: Tracker) -> None:
    dice = random.Random(7)
    numbers = [number for number in range(PEOPLE) for _ in range(EACH)]
    dice.shuffle(numbers)

    def one_event(number: int) -> None:
        with (
            suppress(KeyError),
            crowd.scope(user_id="a visitor before the login"),
            crowd.scope(user_id=str(number)),
        ):
            crowd.track_struct_event("visit", str(number))
            raise KeyError

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one_event, numbers))


def test_users_of_events_subjects_do_not_mix(crowd: Tracker) -> None:
    def visit(number: int) -> None:
        subject = Subject().set_user_id(str(number))
        for _ in range(EACH):
            crowd.track_struct_event("visit", str(number), event_subject=subject)

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(visit, range(PEOPLE)))


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_users_of_tasks_do_not_mix(
    crowd: Tracker, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    dice = random.Random(7)

    async def visit(number: int) -> None:
        with crowd.scope(user_id=str(number)):
            for _ in range(EACH):
                for _ in range(dice.randrange(3)):
                    await asyncio.sleep(0)
                crowd.track_struct_event("visit", str(number))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(PEOPLE // 2):
                group.create_task(visit(number))
            await asyncio.gather(*(visit(number) for number in range(PEOPLE // 2, PEOPLE)))

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


def test_users_of_tasks_and_their_threads_do_not_mix(crowd: Tracker) -> None:
    async def visit(number: int) -> None:
        with crowd.scope(user_id=str(number)):
            for turn in range(EACH // 2):
                if turn % 10 == 0:
                    await asyncio.sleep(0)
                crowd.track_struct_event("visit", str(number))
            await asyncio.to_thread(in_a_thread, number)

    def in_a_thread(number: int) -> None:
        for _ in range(EACH // 2):
            crowd.track_struct_event("visit", str(number))

    async def main() -> None:
        await asyncio.gather(*(visit(number) for number in range(PEOPLE)))

    asyncio.run(main())


def test_users_of_event_loops_in_several_threads_do_not_mix(crowd: Tracker) -> None:
    async def visit(number: int) -> None:
        with crowd.scope(user_id=str(number)):
            for _ in range(EACH):
                crowd.track_struct_event("visit", str(number))
                await asyncio.sleep(0)

    async def main(numbers: range) -> None:
        await asyncio.gather(*map(visit, numbers))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: asyncio.run(main(range(n * 25, n * 25 + 25))), range(4)))


def test_late_users_of_threads_do_not_mix(crowd: Tracker) -> None:
    here = threading.local()

    def visit(number: int) -> None:
        here.facts = {"user_id": str(number)}
        with crowd.scope(user_id="unknown", late=lambda: here.facts):
            for _ in range(EACH):
                crowd.track_struct_event("visit", str(number))

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(visit, range(PEOPLE)))


GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys
import threading
import gevent
from gevent.pool import Pool
from trackway import MemorySink, Tracker
from trackway import scope as scopes

sink = MemorySink()
tracker = Tracker(sinks=[sink])

def visit(number):
    with tracker.scope(user_id="a visitor before the login"):
        with tracker.scope(user_id=str(number)):
            for turn in range(100):
                tracker.track_struct_event("visit", str(number))
                gevent.sleep(0)
            thread = threading.Thread(target=in_a_thread)  # a greenlet
            thread.start()
            thread.join()
            tracker.track_struct_event("visit", str(number))
    assert scopes.current() is None

def in_a_thread():
    with tracker.scope(user_id="thread"):
        gevent.sleep(0)
        tracker.track_struct_event("visit", "thread")

Pool(50).map(visit, range(100))
assert len(sink.events) == 100 * 102
assert all(event.user_id == event.action for event in sink.events)

# A greenlet that is killed inside a scope closes it, and takes nothing with it.
def stuck():
    with tracker.scope(user_id="stuck"):
        gevent.sleep(60)
greenlet = gevent.spawn(stuck)
gevent.sleep(0)
greenlet.kill()
tracker.track("after")
assert sink.events[-1].user_id is None
print("users did not mix")
"""


def test_users_of_greenlets_do_not_mix() -> None:
    if importlib.util.find_spec("gevent") is None:
        missing("gevent is not installed: make venv")
    done = subprocess.run(
        [sys.executable, "-c", GEVENT],
        capture_output=True,
        text=True,
        timeout=120,
        env=clean_environment(),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "users did not mix"


# Threads and tasks ----------------------------------------------------------------------------


def test_a_worker_keeps_nothing_of_the_job_before(tracker: Tracker, sink: MemorySink) -> None:
    def job(user: str | None) -> None:
        if user is None:
            tracker.track("without a scope")
            return
        with suppress(KeyError), tracker.scope(user_id=user):
            raise KeyError

    with ThreadPoolExecutor(1) as pool:
        list(pool.map(job, ["u1", None, "u2", None]))
    assert users(sink) == [("without a scope", None)] * 2


def test_a_scope_opened_in_a_thread_is_unknown_to_the_one_that_started_it(
    tracker: Tracker, sink: MemorySink
) -> None:
    opened, tracked = threading.Event(), threading.Event()

    def work() -> None:
        with tracker.scope(user_id="thread"):
            opened.set()
            tracked.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    opened.wait(30)
    tracker.track("here")
    tracked.set()
    thread.join()
    assert users(sink) == [("here", None)]


def test_a_thread_gets_the_scope_with_a_copy_of_the_context(
    tracker: Tracker, sink: MemorySink
) -> None:
    with tracker.scope(user_id="u1"):
        copy = contextvars.copy_context()
    thread = threading.Thread(target=copy.run, args=(tracker.track, "in the thread"))
    thread.start()
    thread.join()
    assert users(sink) == [("in the thread", "u1")]


def test_a_task_keeps_the_scope_it_was_started_in(tracker: Tracker, sink: MemorySink) -> None:
    async def later() -> None:
        await asyncio.sleep(0)
        tracker.track("later")
        with tracker.scope(language="de"):
            tracker.track("nested")
        tracker.track("last")

    async def main() -> None:
        with tracker.scope(user_id="u1"):
            task = asyncio.create_task(later())
            asyncio.get_running_loop().call_soon(tracker.track, "called")
        with tracker.scope(user_id="u2"):
            await task
        tracker.track("after")

    asyncio.run(main())
    expected = {"later": "u1", "nested": "u1", "last": "u1", "called": "u1", "after": None}
    assert dict(users(sink)) == expected


def test_a_task_does_not_change_the_scope_of_the_one_that_started_it(
    tracker: Tracker, sink: MemorySink
) -> None:
    async def child() -> None:
        with tracker.scope(user_id="child"):
            await asyncio.sleep(0.01)

    async def main() -> None:
        with tracker.scope(user_id="parent"):
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
            tracker.track("while the child is inside")
            await task
            tracker.track("after the child")

    asyncio.run(main())
    assert {user for _, user in users(sink)} == {"parent"}


def test_a_cancelled_task_closes_its_scope(tracker: Tracker, sink: MemorySink) -> None:
    async def main() -> None:
        with tracker.scope(user_id="outer"):
            with suppress(TimeoutError), tracker.scope(user_id="inner"):
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(60)
            tracker.track("after")

    asyncio.run(main())
    assert users(sink) == [("after", "outer")]


def test_a_group_that_fails_closes_all_scopes(tracker: Tracker, sink: MemorySink) -> None:
    async def visit(number: int) -> None:
        with tracker.scope(user_id=str(number)):
            try:
                await asyncio.sleep(0 if number == 3 else 60)
                raise KeyError
            finally:
                tracker.track_struct_event("left", str(number))

    async def main() -> None:
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                for number in range(10):
                    group.create_task(visit(number))
        tracker.track("after")

    asyncio.run(main())
    *left, after = sink.events
    assert sorted(event.user_id or "" for event in left) == [str(n) for n in range(10)]
    assert all(event.user_id == event.action for event in left)
    assert after.user_id is None


# Generators -----------------------------------------------------------------------------------
# They run in the context of whoever asks for the next piece, so a scope around a ``yield`` is the
# one thing that can end somewhere else than it began.


def pieces(tracker: Tracker, user: str, count: int = 3) -> Iterator[int]:
    with tracker.scope(user_id=user):
        for number in range(count):
            tracker.track_struct_event("piece", user, value=number)
            yield number


async def async_pieces(tracker: Tracker, user: str) -> AsyncIterator[int]:
    for number in pieces(tracker, user):
        yield number
        await asyncio.sleep(0)


def actors(sink: MemorySink) -> list[tuple[str | None, str | None]]:
    return [(event.action, event.user_id) for event in sink.events]


def test_a_generator_has_its_scope(tracker: Tracker, sink: MemorySink) -> None:
    with tracker.scope(user_id="outer"):
        assert list(pieces(tracker, "u1")) == [0, 1, 2]
        tracker.track("after")
    assert [event.user_id for event in sink.events] == ["u1", "u1", "u1", "outer"]


@pytest.mark.parametrize("how", ["closed", "forgotten", "failed"])
def test_a_generator_that_is_broken_off_closes_its_scope(
    how: str, tracker: Tracker, sink: MemorySink
) -> None:
    generator: Any = pieces(tracker, "u1")
    next(generator)
    if how == "closed":
        generator.close()
    elif how == "failed":
        with pytest.raises(KeyError):
            generator.throw(KeyError())
    del generator
    gc.collect()
    tracker.track("after")
    assert sink.events[-1].user_id is None


def test_generators_that_take_turns_leave_no_scope_behind(
    tracker: Tracker, sink: MemorySink
) -> None:
    for lengths in ((2, 2), (2, 5), (5, 2), (1, 3, 5), (5, 3, 1), (3, 1, 5)):
        turns = [pieces(tracker, f"u{n}", count) for n, count in enumerate(lengths)]
        while turns:
            for generator in turns.copy():
                if next(generator, None) is None:
                    turns.remove(generator)
        assert scopes.current() is None
        tracker.track("after")
        assert sink.events[-1].user_id is None


def test_a_scope_around_a_generator_that_is_not_finished_closes(
    tracker: Tracker, sink: MemorySink
) -> None:
    with tracker.scope(user_id="outer"):
        generator = pieces(tracker, "u1")
        next(generator)
    tracker.track("after the block")
    assert list(generator) == [1, 2]
    tracker.track("after the generator")
    assert [event.user_id for event in sink.events if event.action is None] == [None, None]


def test_a_generator_may_go_on_in_another_context(tracker: Tracker, sink: MemorySink) -> None:
    # As a thread pool does it that fetches each piece in a copy of the caller's context.
    generator = pieces(tracker, "u1")
    fetched = []
    for _ in range(4):
        with suppress(StopIteration):
            fetched.append(contextvars.copy_context().run(next, generator))
    assert fetched == [0, 1, 2]
    tracker.track("after")
    assert sink.events[-1].user_id is None


def test_a_generator_may_end_in_another_context(tracker: Tracker) -> None:
    def begun() -> Any:
        generator = pieces(tracker, "u1")
        contextvars.copy_context().run(next, generator)
        return generator

    contextvars.copy_context().run(begun().close)
    with pytest.raises(KeyError):
        contextvars.copy_context().run(begun().throw, KeyError())


def test_a_streamed_response_with_a_scope_arrives_whole(tracker: Tracker, sink: MemorySink) -> None:
    def body(user: str) -> Iterator[str]:
        with tracker.scope(user_id=user):
            for number in range(3):
                tracker.track_struct_event("piece", user)
                yield f"{number}"

    def view(request: Request) -> StreamingResponse:
        return StreamingResponse(body(request.path_params["user"]))

    client = TestClient(Starlette(routes=[Route("/{user}", view)]))
    for user in ("u1", "u2", "u3"):
        assert client.get(f"/{user}").text == "012"
    assert {action for action, user in actors(sink) if user not in (None, action)} == set()


def test_asynchronous_generators_of_tasks_do_not_mix(tracker: Tracker, sink: MemorySink) -> None:
    async def visit(user: str) -> None:
        async for _ in async_pieces(tracker, user):
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(visit(f"u{number}") for number in range(50)))
        tracker.track("after")

    asyncio.run(main())
    *found, after = actors(sink)
    assert len(found) == 150
    assert all(action == user for action, user in found)
    assert after == (None, None)


def test_an_asynchronous_generator_may_be_closed_by_another_task(tracker: Tracker) -> None:
    async def main() -> None:
        generator: Any = _scoped(tracker)
        await asyncio.create_task(anext(generator))
        await asyncio.create_task(generator.aclose())
        assert scopes.current() is None

    asyncio.run(main())


def test_an_asynchronous_generator_that_nobody_closes_disturbs_nothing(tracker: Tracker) -> None:
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, found: complaints.append(found))

        async def visit() -> None:
            async for _ in _scoped(tracker):
                break

        await asyncio.gather(*(visit() for _ in range(3)))
        gc.collect()

    asyncio.run(main())  # closes what is left in a task of its own
    assert complaints == []


async def _scoped(tracker: Tracker) -> AsyncIterator[int]:
    with tracker.scope(user_id="u1"):
        for number in range(3):
            yield number


def test_events_do_not_change_when_the_scope_closes(tracker: Tracker, sink: MemorySink) -> None:
    facts = {"user_id": "u1"}
    with tracker.scope(late=lambda: facts):
        tracker.track("one")
    facts["user_id"] = "u2"
    (event,) = sink.events
    assert isinstance(event, Event)
    assert event.user_id == "u1"
