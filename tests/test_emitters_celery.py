"""Events through Celery: real workers on Redis and on RabbitMQ, and brokers that are away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, current_app
from kombu.connection import Connection
from kombu.entity import Queue

from tests.brokers import (
    AMQP_URL,
    REDIS_URL,
    Collector,
    RedisServer,
    clean,
    collecting,
    event,
    hanging_up,
    mute,
    numbered,
    shared_redis,
    wait_until,
)
from tests.conftest import clean_environment, missing
from trackway import Tracker
from trackway.emitters import celery as celery_module
from trackway.emitters.celery import TASK, CeleryEmitter, default_app, deliver, register
from trackway.errors import MissingExtra, SettingError

CELERY = str(Path(sys.executable).with_name("celery"))


class Broker:
    """A queue of our own on a real broker, and the settings module that names it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.queue = f"trackway-test-{uuid4().hex}"
        self.prefix = f"{self.queue}:"
        options = {"visibility_timeout": 3600}
        if url.startswith("redis"):
            options["global_keyprefix"] = self.prefix  # type: ignore[assignment]
        self.settings = {
            "broker_url": url,
            "task_default_queue": self.queue,
            "broker_transport_options": options,
            "worker_enable_remote_control": False,
        }
        lines = [f"{name} = {value!r}" for name, value in self.settings.items()]
        folder.joinpath("snowplow_celery_config.py").write_text("\n".join(lines))

    def app(self) -> Celery:
        app = Celery("test", set_as_current=False)
        app.conf.update(self.settings)
        return app

    def environment(self) -> dict[str, str]:
        return clean_environment(PYTHONPATH=str(self.folder))

    def waiting(self) -> list[Any]:
        return messages(self.url, self.queue, self.settings["broker_transport_options"])

    def clean(self) -> None:
        if self.url.startswith("redis"):
            clean(shared_redis(), self.prefix)
        else:
            with Connection(self.url) as connection:
                connection.default_channel.queue_delete(self.queue)


def messages(url: str, queue: str, options: Any = None) -> list[Any]:
    """The messages in a queue, which are taken out of it."""
    found: list[Any] = []
    with Connection(url, transport_options=options) as connection:
        waiting = connection.SimpleQueue(queue)
        while True:
            try:
                message = waiting.get(block=True, timeout=0.3)
            except waiting.Empty:
                return found
            message.ack()
            found.append(message)


def events_in(tasks: list[Any]) -> list[list[str]]:
    """The ids of the events of each task."""
    batches = [json.loads(message.body)[0][0] for message in tasks]
    return [[json.loads(text)["eid"] for text in batch] for batch in batches]


def broker_url(name: str) -> str:
    if name == "redis":
        shared_redis().close()
        return REDIS_URL
    try:
        with Connection(AMQP_URL, connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.1)
    except Exception:
        missing(f"no RabbitMQ at {AMQP_URL}; name another in TRACKWAY_TEST_AMQP_URL")
    return AMQP_URL


class Worker:
    """A ``celery worker`` in a process group of its own."""

    def __init__(
        self, broker: Broker, *options: str, app: str = "trackway.emitters.celery"
    ) -> None:
        self.log = broker.folder / f"worker-{uuid4().hex}.log"
        command = [CELERY, "-A", app, "worker", "--concurrency=2", "--loglevel=info"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, f"--hostname=w{uuid4().hex}@%h", *options],
                stdout=log,
                stderr=log,
                cwd=broker.folder,
                env=broker.environment(),
                start_new_session=True,
            )
        wait_until(self._is_ready)

    def _is_ready(self) -> bool:
        said = self.log.read_text()
        assert self.process.poll() is None, said
        return " ready." in said

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(60)


@pytest.fixture(scope="module", params=["redis", "amqp"])
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    one = Broker(broker_url(request.param), tmp_path_factory.mktemp(request.param))
    yield one
    one.clean()


@pytest.fixture(scope="module")
def worker(broker: Broker) -> Iterator[Worker]:
    """A worker as the documents start it: with the settings module on the path."""
    one = Worker(broker)
    yield one
    one.stop()
    one.kill()


@pytest.fixture
def own_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Queues for this test alone: ``own_broker("amqp")``."""
    made: list[Broker] = []

    def make(name: str) -> Broker:
        folder = tmp_path / f"broker-{len(made)}"
        folder.mkdir()
        made.append(Broker(broker_url(name), folder))
        return made[-1]

    yield make
    for one in made:
        one.clean()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as one:
        yield one


@pytest.fixture
def emitter() -> Iterator[Callable[..., CeleryEmitter]]:
    """CeleryEmitters that try again soon, so that tests need not wait."""
    made: list[CeleryEmitter] = []

    def make(endpoint: str, app: Celery | None = None, **options: Any) -> CeleryEmitter:
        options = {"interval": 0.01, "max_retry_delay_seconds": 0.2, **options}
        made.append(CeleryEmitter(endpoint, app=app, **options))
        return made[-1]

    yield make
    for one in made:
        one.close(0.0)


def fill(one: CeleryEmitter, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        one.input(event(number))


def run_python(code: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=clean_environment(**env),
    )


# With a worker --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["post", "get"])
def test_each_event_reaches_the_collector_once(
    method: Any,
    broker: Broker,
    worker: Worker,
    collector: Collector,
    emitter: Callable[..., CeleryEmitter],
) -> None:
    one = emitter(collector.url, broker.app(), method=method, batch_size=20)
    tracker = Tracker(one, app_id="shop")
    sent = [tracker.track("Tested", {"number": number}) for number in range(100)]
    assert one.flush(60) == 0
    wait_until(lambda: len(collector.ids()) >= 100)
    time.sleep(0.3)  # for a second one to come
    assert collector.counts() == dict.fromkeys(sent, 1)
    assert {one["aid"] for one in collector.kept} == {"shop"}
    assert all(int(one["stm"]) >= int(one["dtm"]) for one in collector.kept)
    assert collector.asked == (5 if method == "post" else 100)
    assert one.stats()["sent"] == 100


def test_an_application_without_settings_of_its_own_shares_the_settings_module(
    broker: Broker, worker: Worker, collector: Collector
) -> None:
    code = """
        import sys
        from trackway import Tracker
        from trackway.emitters.celery import CeleryEmitter
        tracker = Tracker(CeleryEmitter(sys.argv[1]))
        for number in range(30):
            tracker.track_page_view(f"http://x/{number}")
        """
    done = run_python(code, collector.url, PYTHONPATH=str(broker.folder))
    assert (done.returncode, done.stderr) == (0, "")  # sent at the end of the process
    wait_until(lambda: len(collector.kept) >= 30)
    assert [one["url"] for one in collector.kept] == [f"http://x/{n}" for n in range(30)]


def test_what_a_collector_cannot_take_now_is_tried_again_and_only_that(
    broker: Broker, worker: Worker, collector: Collector, emitter: Callable[..., CeleryEmitter]
) -> None:
    times: list[float] = []

    def judge(events: list[dict[str, str]]) -> int:
        times.append(time.monotonic())
        if len(events) > 3:
            return 413
        return 503 if len(times) == 4 else 200  # some have arrived before

    collector.judge = judge
    collector.retry_after = "1"
    one = emitter(collector.url, broker.app())
    fill(one, 10)
    assert one.flush(60) == 0
    wait_until(lambda: len(collector.ids()) >= 10)
    assert collector.counts() == dict.fromkeys(numbered(10), 1)
    assert times[4] - times[3] > 0.9  # Retry-After


def test_what_a_collector_refuses_is_not_tried_again(
    broker: Broker, worker: Worker, collector: Collector, emitter: Callable[..., CeleryEmitter]
) -> None:
    refused: list[str] = []

    def judge(events: list[dict[str, str]]) -> int:
        if events[0]["eid"] == "e3":
            refused.append("e3")
            return 400
        return 200

    collector.judge = judge
    one = emitter(collector.url, broker.app(), method="get", batch_size=5)
    fill(one, 10)
    assert one.flush(60) == 0
    wait_until(lambda: len(collector.ids()) >= 9)
    time.sleep(1.5)
    assert collector.counts() == dict.fromkeys(set(numbered(10)) - {"e3"}, 1)
    assert refused == ["e3"]
    assert "refuses 1 events" in worker.log.read_text()


def test_options_of_sending_hold_in_the_worker(
    broker: Broker, worker: Worker, collector: Collector, emitter: Callable[..., CeleryEmitter]
) -> None:
    statuses = [404, 418] * 4
    collector.judge = lambda events: statuses.pop(0) if statuses else 200
    one = emitter(
        collector.url, broker.app(), custom_retry_codes={404: True, 418: True}, read_timeout=3.0
    )
    fill(one, 2)
    assert one.flush(60) == 0
    wait_until(lambda: len(collector.ids()) >= 2)
    gone = emitter(collector.url, broker.app(), retry_for=0.0)
    collector.judge = lambda events: 503
    fill(gone, 2, 10)
    assert gone.flush(60) == 0
    wait_until(lambda: "2 events were given up" in worker.log.read_text())


def test_tasks_are_json_and_their_headers_say_nothing_of_the_events(
    own_broker: Callable[..., Broker], emitter: Callable[..., CeleryEmitter]
) -> None:
    for name in ("redis", "amqp"):
        broker = own_broker(name)
        one = emitter("collector.example.com", broker.app(), batch_size=4)
        for number in range(10):
            one.input(event(number, uid="s3cret"))
        assert one.flush(60) == 0
        tasks = broker.waiting()
        assert {task.content_type for task in tasks} == {"application/json"}
        assert {task.headers["task"] for task in tasks} == {TASK}
        assert "s3cret" not in json.dumps([task.headers for task in tasks])
        ids = numbered(10)
        assert events_in(tasks) == [ids[:4], ids[4:8], ids[8:]]


# Workers that die -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["redis", "amqp"])
def test_a_pool_process_that_is_killed_takes_no_event_along(
    name: str,
    own_broker: Callable[..., Broker],
    collector: Collector,
    emitter: Callable[..., CeleryEmitter],
) -> None:
    broker = own_broker(name)
    one = Worker(broker)
    try:
        answer = threading.Event()
        collector.judge = lambda events: 200 if answer.wait(60) else 500
        fill(sending := emitter(collector.url, broker.app(), batch_size=10), 10)
        assert sending.flush(60) == 0
        wait_until(lambda: collector.asked == 1)
        for pid in one.children():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: collector.asked == 2)  # the worker has new processes, one of which asks
        answer.set()
        wait_until(lambda: set(collector.ids()) == set(numbered(10)))
    finally:
        one.kill()


def test_a_worker_that_is_killed_takes_no_event_along(
    own_broker: Callable[..., Broker],
    collector: Collector,
    emitter: Callable[..., CeleryEmitter],
) -> None:
    broker = own_broker("amqp")
    first = Worker(broker)
    answer = threading.Event()
    collector.judge = lambda events: 200 if answer.wait(60) else 500
    fill(sending := emitter(collector.url, broker.app(), batch_size=10), 100)
    assert sending.flush(60) == 0
    wait_until(lambda: collector.asked >= 2)
    first.kill()
    second = Worker(broker)
    try:
        answer.set()
        wait_until(lambda: set(collector.ids()) == set(numbered(100)))
        assert second.stop() == 0
    finally:
        second.kill()


@pytest.mark.parametrize("name", ["redis", "amqp"])
def test_a_worker_that_is_asked_to_end_hands_on_what_waits_to_be_tried_again(
    name: str,
    own_broker: Callable[..., Broker],
    collector: Collector,
    emitter: Callable[..., CeleryEmitter],
) -> None:
    broker = own_broker(name)
    first = Worker(broker)
    try:
        collector.judge = lambda events: 503
        collector.retry_after = "3"
        fill(one := emitter(collector.url, broker.app(), batch_size=10), 50)
        assert one.flush(60) == 0
        wait_until(lambda: collector.asked >= 5)
        assert first.stop() == 0
    finally:
        first.kill()
    collector.judge = lambda events: 200
    second = Worker(broker)
    try:
        # At least once: Celery may both publish the new task and give back the old one.
        wait_until(lambda: set(collector.ids()) == set(numbered(50)))
        assert second.stop() == 0
    finally:
        second.kill()


# Brokers that are away ------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
@pytest.mark.parametrize("mood", ["nobody", "mute"])
def test_a_broker_that_is_away_holds_nobody_up(
    scheme: str, mood: str, free_port: int, emitter: Callable[..., CeleryEmitter]
) -> None:
    with mute() as mute_port:
        port = mute_port if mood == "mute" else free_port
        app = Celery("test", broker=f"{scheme}://127.0.0.1:{port}//", set_as_current=False)
        one = emitter("http://127.0.0.1:1", app, broker_timeout=1.0)
        start = time.monotonic()
        fill(one, 1000)
        assert time.monotonic() - start < 0.5
        assert one.flush(0.5) == 1000
        assert one.close(0.5) == 1000
        assert time.monotonic() - start < 10.0
    wait_until(lambda: one.stats()["dropped:exit"] == 1000)  # one batch is under way for a while


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_is_asked_once_and_then_the_delivery_engine_decides(scheme: str) -> None:
    with hanging_up() as (port, calls):
        app = Celery("test", broker=f"{scheme}://127.0.0.1:{port}//", set_as_current=False)
        one = CeleryEmitter("http://127.0.0.1:1", app=app, exit_budget=0.0)
        for number in range(1, 4):
            assert one.delivery.sender.send([b'{"eid":"e1"'], within=None).status == 0
            assert len(calls) == number


def test_a_broker_that_does_not_confirm_gets_the_events_again(
    own_broker: Callable[..., Broker], emitter: Callable[..., CeleryEmitter]
) -> None:
    broker = own_broker("amqp")
    app = broker.app()
    limits = {"x-max-length": 1, "x-overflow": "reject-publish"}
    app.conf.task_queues = [Queue(broker.queue, queue_arguments=limits)]
    one = emitter("http://127.0.0.1:1", app, batch_size=1)
    fill(one, 3)
    assert one.flush(1.0) == 2
    found: list[str] = []

    def take() -> bool:
        with Connection(broker.url) as connection:
            message = connection.default_channel.basic_get(broker.queue)
            if message is not None:
                connection.default_channel.basic_ack(message.delivery_tag)
                found.extend(json.loads(text)["eid"] for text in json.loads(message.body)[0][0])
        return len(found) == 3

    wait_until(take)
    assert found == numbered(3)
    assert one.flush(60) == 0


def test_events_wait_for_a_broker_that_is_away_and_become_tasks_once(
    free_port: int, tmp_path: Path, emitter: Callable[..., CeleryEmitter]
) -> None:
    server = RedisServer(tmp_path, free_port)
    app = Celery("test", broker=server.url, set_as_current=False)
    app.conf.task_default_queue = "tasks"
    one = emitter("http://127.0.0.1:1", app, batch_size=10)
    fill(one, 20)
    assert one.flush(0.3) == 20
    try:
        server.start()
        assert one.flush(60) == 0
        server.stop()
        fill(one, 20, 20)
        wait_until(lambda: one.stats()["retried"] >= 2)
        server.start()
        assert one.flush(60) == 0
        found = events_in(messages(server.url, "tasks"))
        assert [name for batch in found for name in batch] == numbered(40)
    finally:
        server.stop()


@pytest.mark.parametrize("name", ["redis", "amqp"])
def test_a_forked_child_has_a_connection_of_its_own(
    name: str, own_broker: Callable[..., Broker]
) -> None:
    broker = own_broker(name)
    code = """
        import os, sys
        from trackway.emitters.celery import CeleryEmitter
        emitter = CeleryEmitter("http://127.0.0.1:1", interval=60)
        emitter.input({"eid": "first"})
        assert emitter.flush(60) == 0  # connected
        emitter.input({"eid": "parent"})
        children = []
        for child in range(3):
            if (pid := os.fork()) == 0:
                emitter.input({"eid": f"child {child}"})
                os._exit(emitter.flush(60))
            children.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
        emitter.input({"eid": "last"})
        assert emitter.flush(60) == 0
        assert emitter.stats()["retried"] == 0, emitter.stats()
        """
    done = run_python(code, PYTHONPATH=str(broker.folder))
    assert (done.returncode, done.stderr) == (0, "")
    names = [name for batch in events_in(broker.waiting()) for name in batch]
    assert sorted(names) == ["child 0", "child 1", "child 2", "first", "last", "parent"]


# Applications ---------------------------------------------------------------------------------


def test_the_application_keeps_its_own_celery() -> None:
    mine = Celery("mine", broker="memory://")
    CeleryEmitter("http://127.0.0.1:1")
    assert current_app.main == "mine"
    other = Celery("other", broker="memory://", set_as_current=False)
    mine.finalize()
    other.finalize()
    assert TASK not in mine.tasks
    assert TASK not in other.tasks
    assert TASK in default_app().tasks


def test_importing_trackway_or_its_celery_module_imports_no_celery() -> None:
    code = "import sys, trackway; assert not {'celery', 'kombu', 'redis'} & set(sys.modules)"
    done = run_python(f"{code}\nimport trackway.emitters.celery\n{code}")
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_settings_module_the_broker_is_redis_on_this_machine(tmp_path: Path) -> None:
    code = """
        from trackway.emitters.celery import app, default_app
        assert app is default_app()
        print(app.conf.broker_url, app.conf.task_default_queue, app.conf.result_backend)
        """
    done = run_python(code)
    assert done.stdout == "redis://localhost:6379/0 trackway None\n", done.stderr
    done = run_python(code, CELERY_BROKER_URL="redis://elsewhere/3")
    assert done.stdout.startswith("redis://elsewhere/3 trackway"), done.stderr
    # Settings may have the names of Celery 3, and those that are not there have our defaults.
    tmp_path.joinpath("snowplow_celery_config.py").write_text("BROKER_URL = 'memory://'\n")
    done = run_python(code, PYTHONPATH=str(tmp_path))
    assert done.stdout == "memory:// trackway None\n", done.stderr


def test_an_application_of_ones_own_runs_the_task_as_well(
    own_broker: Callable[..., Broker],
    collector: Collector,
    emitter: Callable[..., CeleryEmitter],
) -> None:
    broker = own_broker("redis")
    broker.folder.joinpath("mine.py").write_text(
        textwrap.dedent(
            f"""
            from celery import Celery
            from trackway.emitters.celery import CeleryEmitter
            app = Celery("mine")
            app.conf.update({broker.settings!r})
            emitter = CeleryEmitter({collector.url!r}, app=app, queue="other", interval=0.01)
            """
        )
    )
    one = Worker(broker, "--queues=other", app="mine")
    try:
        sending = emitter(collector.url, broker.app(), queue="other")
        fill(sending, 5)
        assert sending.flush(60) == 0
        wait_until(lambda: len(collector.ids()) >= 5)
        assert collector.ids() == numbered(5)
        assert one.stop() == 0
    finally:
        one.kill()


def test_an_eager_application_sends_at_once_and_does_not_turn_in_circles(
    collector: Collector, emitter: Callable[..., CeleryEmitter]
) -> None:
    app = Celery("eager", broker="memory://", set_as_current=False)
    app.conf.task_always_eager = True
    one = emitter(collector.url, app)
    fill(one, 3)
    assert one.flush(60) == 0
    assert collector.ids() == numbered(3)
    collector.judge = lambda events: 503
    fill(one, 3, 3)
    assert one.flush(60) == 0
    assert collector.asked == 2


@pytest.mark.parametrize("name", ["on_success", "on_failure", "session"])
def test_callbacks_cannot_be_given(name: str) -> None:
    options: dict[str, Any] = {name: print}
    with pytest.raises(TypeError, match=f"CeleryEmitter takes no {name}: the Celery worker"):
        CeleryEmitter("collector.example.com", **options)
    CeleryEmitter("collector.example.com", **{name: None})  # type: ignore[arg-type]


def test_what_can_never_work_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match="endpoint"):
        CeleryEmitter("no host at all")
    with pytest.raises(SettingError, match="buffer_size"):
        CeleryEmitter("collector.example.com", batch_size=3, buffer_size=4)
    app = Celery("test", broker="sqs://", set_as_current=False)
    with pytest.raises(SettingError, match=r"cannot use its broker: .*botocore"):
        CeleryEmitter("collector.example.com", app=app)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = celery_module.nothing
    default_app.cache_clear()
    monkeypatch.setitem(sys.modules, "celery", None)
    with pytest.raises(MissingExtra, match=r"pip install 'trackway\[celery\]'"):
        CeleryEmitter("collector.example.com")


def test_events_stay_in_the_old_task_if_a_new_one_cannot_be_published() -> None:
    from celery.exceptions import Reject

    class Task:
        """Celery's part: its retry says that publishing failed, and to throw the task away."""

        class request:  # noqa: N801 - Celery's name
            retries = 0
            is_eager = False

        def retry(self, **_: Any) -> None:
            raise Reject("broker away", requeue=False)

    way = {
        "url": "http://127.0.0.1:1/", "method": "post", "headers": {}, "gzip": False,
        "connect_timeout": 1.0, "read_timeout": 1.0, "retry_codes": {}, "max_retry_delay": 1.0,
        "retry_for": 60.0,
    }  # fmt: skip
    with pytest.raises(Reject) as caught:
        deliver(Task(), [json.dumps(event(1))], way)
    assert caught.value.requeue


def test_registering_twice_gives_the_same_task() -> None:
    app = Celery("test", set_as_current=False)
    assert register(app) is register(app)
    assert register(app).acks_late
