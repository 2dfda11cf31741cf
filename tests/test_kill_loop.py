"""Whatever kills the server, every event that it acknowledged is stored exactly once."""

from __future__ import annotations

import http.client
import json
import random
import re
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.conftest import Server, missing
from tests.kill_points import POINTS
from trackway.warehouse import DuckWarehouse
from trackway.wires.snowplow import PAYLOAD_SCHEMA

LAUNCHER = [sys.executable, str(Path(__file__).parent / "kill_points.py")]
#: Small segments and frequent loads: within a second the server does all that it ever does.
BUSY = {"TRACKWAY_SPOOL_MAX_BYTES": "300000", "TRACKWAY_LOAD_INTERVAL": "0.05"}
TP2 = "/com.snowplowanalytics.snowplow/tp2"


class Batch:
    """What is posted at once: events by their ids and, now and then, one that is bad. A repeated
    event is dropped by its id; a bad row has none, so only its place in the spool keeps it from
    being loaded twice."""

    def __init__(self) -> None:
        self.ids = [str(uuid4()) for _ in range(random.randrange(1, 6))]
        self.bad = str(uuid4()) if random.random() < 0.3 else None
        self.attempts = 0
        self.is_acknowledged = False

    def body(self) -> bytes:
        now = int(time.time() * 1000)
        data = [
            {"e": "pv", "p": "web", "tv": "js-4.0.0", "eid": one, "aid": "s", "dtm": str(now)}
            | {"duid": f"device-{ord(one[0]) % 5}", "url": f"https://shop.example/{one}"}
            for one in self.ids
        ]
        if self.bad:
            data.append({"e": "zz", "p": "web", "tv": "x", "page": self.bad})
        return json.dumps({"schema": PAYLOAD_SCHEMA, "data": data}).encode()


class Load:
    """Clients that post small batches until they are acknowledged, as real trackers do: what
    failed is sent again with the same ids."""

    CLIENTS = 4

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._again: list[Batch] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def sent(self) -> set[str]:
        return {one for batch in self.batches for one in batch.ids}

    @property
    def acknowledged(self) -> set[str]:
        return {one for batch in self.batches if batch.is_acknowledged for one in batch.ids}

    def start(self, server: Server) -> None:
        self._ending.clear()
        self._threads = [
            threading.Thread(target=self._run, args=(server, n)) for n in range(self.CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def deliver_the_rest(self, server: Server) -> None:
        """Send what no server has acknowledged yet, until one does."""
        place = urlsplit(server.url).netloc
        until = time.monotonic() + 60
        while self._again:
            assert time.monotonic() < until, "the server takes nothing any more"
            if not self.post(http.client.HTTPConnection(place, timeout=30), self._next()):
                time.sleep(0.05)

    def _run(self, server: Server, number: int) -> None:
        place = urlsplit(server.url).netloc
        connection = http.client.HTTPConnection(place, timeout=30)
        while not self._ending.is_set() and server.process.poll() is None:
            if not self.post(connection, self._next()):
                connection.close()
                time.sleep(0.01)
        connection.close()

    def _next(self) -> Batch:
        with self._lock:
            if self._again:
                return self._again.pop()
            self.batches.append(Batch())
            return self.batches[-1]

    def post(self, connection: http.client.HTTPConnection, batch: Batch) -> bool:
        """Send a batch once; whether the server has acknowledged it."""
        batch.attempts += 1
        try:
            connection.request("POST", TP2, batch.body(), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            batch.is_acknowledged = answer.status == 200
        except (OSError, http.client.HTTPException):
            batch.is_acknowledged = False
        if not batch.is_acknowledged:
            with self._lock:
                self._again.append(batch)
        return batch.is_acknowledged


def check(data: Path, load: Load) -> None:
    """Everything acknowledged is stored once, nothing twice, and the tables agree."""
    warehouse = DuckWarehouse(data, read_only=True)
    stored = dict(warehouse.query("SELECT event_id::VARCHAR, count(*) FROM events GROUP BY 1").rows)
    ((in_sessions, counted, nobodys),) = warehouse.query(
        """SELECT (SELECT sum(events) FROM sessions),
            (SELECT sum(events) FROM ingest WHERE outcome = 'stored'),
            (SELECT count(*) FROM events ANTI JOIN people USING (visitor))"""
    ).rows
    bad_rows = warehouse.query("SELECT decode(raw)::JSON->>'page', reason FROM bad_rows").rows
    warehouse.close()
    assert load.acknowledged - stored.keys() == set(), "acknowledged, but not stored"
    assert {one for one, times in stored.items() if times > 1} == set(), "stored twice"
    assert stored.keys() - load.sent == set(), "nobody sent this"
    assert (in_sessions, counted, nobodys) == (len(stored), len(stored), 0)
    assert {reason for _, reason in bad_rows} <= {"unknown_event"}
    kept = Counter(page for page, _ in bad_rows)
    for batch in load.batches:
        if batch.bad:
            assert kept[batch.bad] >= batch.is_acknowledged, "acknowledged, but not kept"
            assert kept[batch.bad] <= batch.attempts, "loaded twice"


def wait_for_death(server: Server, seconds: float) -> bool:
    """Whether the server died within this time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if server.process.poll() is not None:
            return True
        time.sleep(0.01)
    return False


#: How often each point is passed before it kills: late enough that there is something to lose.
PASSAGES = {
    "in-spool-write": 30,
    "before-sync": 30,
    "after-sync": 30,
    "new-segment": 3,
    "before-remove": 2,
    "after-remove": 2,
    "in-checkpoint": 1,
}


def test_a_server_that_is_killed_again_and_again_keeps_every_acknowledged_event_once(
    server: Callable[..., Server], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    load = Load()
    rounds: list[str | None] = [*POINTS, None, None, None]
    random.shuffle(rounds)
    for point in rounds:
        environment = dict(BUSY)
        if point:
            environment["KILL_POINT"] = f"{point}:{PASSAGES.get(point, 4)}"
        one = server(data=data, env=environment, wrap=LAUNCHER)
        load.start(one)
        if point:
            assert wait_for_death(one, 30), f"{point} was not passed"
            assert one.process.returncode == -9
        else:
            time.sleep(random.uniform(0.2, 1.0))
            one.kill()
        load.stop()
    assert len(load.acknowledged) > 300
    last = server(data=data, env=BUSY)
    load.deliver_the_rest(last)
    assert last.stop() == 0
    assert load.acknowledged == load.sent
    check(data, load)


def test_a_server_that_dies_while_it_makes_its_folder_can_be_started_again(
    server: Callable[..., Server], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    load = Load()
    for point in ("new-segment:1", "before-transaction:1", "before-commit:1"):
        one = server(data=data, env=BUSY | {"KILL_POINT": point}, wrap=LAUNCHER)
        load.start(one)
        assert wait_for_death(one, 30)
        load.stop()
    last = server(data=data, env=BUSY)
    load.deliver_the_rest(last)
    assert last.stop() == 0
    check(data, load)


# The order of things --------------------------------------------------------------------------

CALLS = "fdatasync,fsync,openat,write,writev,sendto,sendmsg,pwrite64"


def traced(lines: list[str]) -> list[tuple[str, str]]:
    """What strace saw, in order: the beginning and the end of each call apart, because calls of
    other threads may lie between them."""
    steps: list[tuple[str, str]] = []
    for line in lines:
        text = re.sub(r"^\d+ +[\d:.]+ ", "", line)
        if "resumed>" in text:
            steps.append(("end", text))
        elif text.endswith("<unfinished ...>"):
            steps.append(("begin", text))
        else:
            steps += [("begin", text), ("end", text)]
    return steps


def test_the_disk_has_the_event_before_the_client_has_its_answer(
    server: Callable[..., Server], tmp_path: Path
) -> None:
    if shutil.which("strace") is None:
        missing("strace is not installed: install Debian's strace")
    log = tmp_path / "strace"
    trace = ["strace", "-f", "-tt", "-s", "64", "-e", f"trace={CALLS}", "-o", str(log)]
    one = server(env={"TRACKWAY_LOAD_INTERVAL": "3600"}, wrap=trace)
    assert Load().post(http.client.HTTPConnection(urlsplit(one.url).netloc, timeout=30), Batch())
    one.kill()
    steps = traced(log.read_text().splitlines())

    def first(place: str, pattern: str, after: int = 0) -> int:
        for number, (side, text) in enumerate(steps[after:], after):
            if side == place and re.search(pattern, text):
                return number
        raise AssertionError(f"no {pattern!r} after step {after} in\n" + log.read_text())

    written = first("begin", r"^write\(\d+, \"TW\\1\\1")
    descriptor = re.findall(r"^write\((\d+)", steps[written][1])[0]
    asked = first("begin", rf"^fdatasync\({descriptor}", written)
    on_disk = first("end", r"fdatasync.*= 0", asked)
    answered = first("begin", r"HTTP/1\.1 200")
    assert written < asked < on_disk < answered
    # The segment's name was durable before that.
    opened = first("begin", r"^openat.*\.segment\".*O_EXCL")
    assert opened < first("begin", r"^fsync\(", opened) < written


@pytest.mark.parametrize("point", ["before-sync", "in-spool-write"])
def test_nothing_is_acknowledged_before_it_is_on_the_disk(
    server: Callable[..., Server], point: str
) -> None:
    one = server(env={"KILL_POINT": f"{point}:1"}, wrap=LAUNCHER)
    place = urlsplit(one.url).netloc
    assert not Load().post(http.client.HTTPConnection(place, timeout=30), Batch())
    assert wait_for_death(one, 10)
