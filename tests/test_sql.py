"""The commands that look at a data folder: sql, tail and doctor, with and without a server."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Server, clean_environment
from trackway.errors import QueryRefused, WarehouseError
from trackway.warehouse import DuckWarehouse

TRACKWAY = [sys.executable, "-m", "trackway"]


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TRACKWAY, *arguments],
        capture_output=True,
        text=True,
        env=clean_environment(**(env or {})),
        timeout=60,
    )


def send(server: Server, **keys: str) -> None:
    payload = {"e": "pv", "p": "web", "tv": "js-4", "eid": str(uuid4()), "aid": "shop"} | keys
    schema = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
    body = json.dumps({"schema": schema, "data": [payload]}).encode()
    request = urllib.request.Request(f"{server.url}/com.snowplowanalytics.snowplow/tp2", body)
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with three events, which runs as long as the tests of this module."""
    server = Server(tmp_path_factory.mktemp("sql") / "data", env={"TRACKWAY_SQL_TIMEOUT": "1"})
    for title in ("one", 'two, "2"', "drei ö\n🎉"):
        send(server, page=title)
    server.wait_for_events(3)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with three events, on which no server runs."""
    server = Server(tmp_path_factory.mktemp("stopped") / "data")
    for title in ("one", 'two, "2"', "drei ö\n🎉"):
        send(server, page=title)
    assert server.stop() == 0
    return server.data


@pytest.fixture(params=["with a server", "without a server"])
def folder(request: pytest.FixtureRequest) -> Path:
    if request.param == "with a server":
        data: Path = request.getfixturevalue("filled").data
    else:
        data = request.getfixturevalue("stopped")
    return data


TITLES = "SELECT page_title, length(page_title) AS n FROM events ORDER BY collector_tstamp"

# Forms of an answer ---------------------------------------------------------------------------


def test_an_answer_is_a_table_unless_told_otherwise(folder: Path) -> None:
    done = run("sql", "--data", str(folder), "SELECT 'a' AS x, NULL AS y, 2.5 AS z")
    assert done.returncode == 0, done.stderr
    assert {"x", "y", "z", "a", "2.5"} <= set(done.stdout.split())
    assert "None" not in done.stdout


def test_an_answer_may_be_json(folder: Path) -> None:
    done = run("sql", "--data", str(folder), "--format", "json", TITLES)
    assert json.loads(done.stdout) == [
        {"page_title": "one", "n": 3},
        {"page_title": 'two, "2"', "n": 8},
        {"page_title": "drei ö🎉", "n": 7},
    ]


def test_an_answer_may_be_csv(folder: Path) -> None:
    done = run("sql", "--data", str(folder), "--format", "csv", TITLES)
    assert list(csv.reader(io.StringIO(done.stdout))) == [
        ["page_title", "n"],
        ["one", "3"],
        ['two, "2"', "8"],
        ["drei ö🎉", "7"],
    ]


def test_every_type_of_a_column_can_be_printed(folder: Path) -> None:
    query = """SELECT *, DATE '2026-11-20' AS day, INTERVAL 1 DAY AS span, 'x'::BLOB AS bytes,
        [1, NULL] AS list, {'a': 1.5} AS struct, 1e300 AS large, 170::HUGEINT AS huge,
        TIMESTAMP '1969-01-01' AS old, TRUE AS yes, 1.10::DECIMAL(4, 2) AS money
        FROM events LIMIT 1"""
    for form in ("table", "json", "csv"):
        done = run("sql", "--data", str(folder), "--format", form, query)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    (row,) = json.loads(run("sql", "--data", str(folder), "--format", "json", query).stdout)
    assert (row["day"], row["site"], row["yes"]) == ("2026-11-20", "shop", True)


def test_an_empty_answer_still_has_its_columns(folder: Path) -> None:
    query = "SELECT site FROM events WHERE false"
    assert run("sql", "--data", str(folder), "--format", "json", query).stdout.strip() == "[]"
    assert run("sql", "--data", str(folder), "--format", "csv", query).stdout == "site\n"


def test_the_folder_may_be_named_by_the_environment(folder: Path) -> None:
    done = run("sql", "--format", "csv", "SELECT 1 AS x", env={"TRACKWAY_DATA": str(folder)})
    assert done.stdout == "x\n1\n"


def test_a_reader_that_stops_listening_is_no_error(stopped: Path) -> None:
    command = " ".join(TRACKWAY)
    query = "SELECT * FROM range(9000)"
    done = subprocess.run(
        ["sh", "-c", f"{command} sql --data {stopped} --format csv '{query}' | head -1"],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("range\n", "")


# What is refused ------------------------------------------------------------------------------


def refused(folder: Path, query: str) -> str:
    done = run("sql", "--data", str(folder), query)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    return done.stderr


def test_wrong_sql_is_one_clear_error(folder: Path) -> None:
    assert "no_such_table" in refused(folder, "SELECT * FROM no_such_table")
    assert "syntax" in refused(folder, "SELEC 1").lower()
    assert "SELECT" in refused(folder, "")


def test_a_query_that_takes_too_long_is_stopped(filled: Server, stopped: Path) -> None:
    endless = "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b"
    begun = time.monotonic()
    assert "stopped after 1 seconds" in refused(filled.data, endless)
    done = run("sql", "--data", str(stopped), endless, env={"TRACKWAY_SQL_TIMEOUT": "1"})
    assert "stopped after 1 seconds" in done.stderr
    assert time.monotonic() - begun < 15
    # The server is not harmed by it.
    assert run("sql", "--data", str(filled.data), "SELECT 1").returncode == 0


def test_an_answer_has_at_most_so_many_rows(stopped: Path) -> None:
    query = "SELECT * FROM range(1000000000)"
    done = run(
        "sql", "--data", str(stopped), "--format", "csv", query, env={"TRACKWAY_SQL_ROWS": "7"}
    )
    assert done.stdout.split() == ["range", *map(str, range(7))]


def test_a_folder_without_a_warehouse_is_one_clear_error(tmp_path: Path) -> None:
    assert "start `trackway serve` first" in refused(tmp_path / "nothing", "SELECT 1")
    assert not (tmp_path / "nothing").exists()


def test_a_file_that_is_no_warehouse_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").write_text("this is no database" * 1000)
    assert "cannot be opened" in refused(tmp_path, "SELECT 1")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckWarehouse]:
    folder = tmp_path_factory.mktemp("warehouse") / "data"
    (folder.parent / "secret.csv").write_text("a,b\n1,2\n")
    folder.mkdir()
    (folder / "token").write_text("0123")
    one = DuckWarehouse(folder)
    one.query("INSERT INTO bad_rows (reason) VALUES ('x')")
    yield one
    one.close()


WRITES = [
    "INSERT INTO meta VALUES ('a', 'b')",
    "UPDATE meta SET value = '9'",
    "DELETE FROM bad_rows",
    "DROP TABLE bad_rows",
    "CREATE TABLE t (a INTEGER)",
    "CREATE TEMP TABLE t (a INTEGER)",
    "CREATE VIEW v AS SELECT 1",
    "CREATE MACRO m() AS 1",
    "ALTER TABLE bad_rows ADD COLUMN a INTEGER",
    "WITH x AS (SELECT 1) DELETE FROM bad_rows",
    "EXPLAIN ANALYZE DELETE FROM bad_rows",
    "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
    "SELECT 1; DELETE FROM bad_rows",
    "SELECT 1; SELECT 2",
    "BEGIN",
    "COMMIT",
    "CHECKPOINT",
    "VACUUM",
    "ATTACH '/tmp/other.duckdb'",
    "DETACH warehouse",
    "USE memory",
    "SET threads = 1",
    "RESET allowed_directories",
    "SET enable_external_access = true",
    "PRAGMA enable_profiling",
    "INSTALL httpfs",
    "LOAD httpfs",
    "COPY bad_rows TO '/tmp/stolen.csv'",
    "COPY (SELECT 1) TO '/dev/stdout'",
    "EXPORT DATABASE '/tmp/stolen'",
    "CALL pragma_version()",
    "PREPARE p AS SELECT 1",
    "",
    "-- nothing",
]


@pytest.mark.parametrize("sql", WRITES)
def test_nothing_can_be_changed(warehouse: DuckWarehouse, sql: str) -> None:
    before = [
        warehouse.query(query).rows
        for query in (
            "FROM meta",
            "FROM bad_rows",
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal ORDER BY ALL",
            "SELECT name, value FROM duckdb_settings() WHERE name NOT LIKE '%profil%' ORDER BY 1",
        )
    ]
    with pytest.raises(QueryRefused):
        warehouse.ask(sql)
    after = [
        warehouse.query(query).rows
        for query in (
            "FROM meta",
            "FROM bad_rows",
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal ORDER BY ALL",
            "SELECT name, value FROM duckdb_settings() WHERE name NOT LIKE '%profil%' ORDER BY 1",
        )
    ]
    assert after == before


FILES = [
    "SELECT * FROM '{outside}'",
    "SELECT * FROM read_csv('{outside}')",
    "SELECT * FROM read_text('{outside}')",
    "SELECT * FROM read_blob('{data}/token')",
    "SELECT * FROM read_text('{data}/staging/../token')",
    "SELECT * FROM read_json('{data}/token')",
    "SELECT * FROM read_parquet('{outside}')",
    "SELECT * FROM glob('{data}/*')",
    "SELECT * FROM query('SELECT * FROM read_text(''{outside}'')')",
    "SELECT * FROM query_table('{outside}')",
    "SELECT * FROM read_csv('https://example.com/x.csv')",
    "SELECT * FROM sniff_csv('{outside}')",
    "SELECT * FROM read_duckdb('{data}/warehouse.duckdb')",
    "EXPLAIN ANALYZE SELECT * FROM read_text('{outside}')",
]


@pytest.mark.parametrize("sql", FILES)
def test_no_other_file_can_be_read(warehouse: DuckWarehouse, sql: str) -> None:
    data = warehouse.path.parent
    text = sql.format(outside=data.parent / "secret.csv", data=data)
    try:
        found = warehouse.ask(text)
    except QueryRefused:
        return
    # Whoever lists files may see that there are none, and nothing else.
    assert found.rows == []


def test_reading_is_possible_in_every_form_of_a_query(warehouse: DuckWarehouse) -> None:
    for sql in (
        "SELECT reason FROM bad_rows",
        "  select reason from bad_rows ;  ",
        "FROM bad_rows SELECT reason",
        "WITH x AS (SELECT reason FROM bad_rows) SELECT * FROM x",
        "(SELECT reason FROM bad_rows) UNION (SELECT 'x')",
        "-- a comment\nSELECT /* another */ reason FROM bad_rows",
        "VALUES ('x')",
    ):
        assert warehouse.ask(sql).rows == [("x",)], sql
    assert warehouse.ask("EXPLAIN SELECT 1").rows
    assert warehouse.ask("SELECT * FROM bad_rows", rows=0).rows == []


def test_two_processes_cannot_own_one_warehouse(filled: Server) -> None:
    with pytest.raises(WarehouseError, match="open in another process"):
        DuckWarehouse(filled.data)


def test_a_question_to_the_server_needs_the_token(filled: Server) -> None:
    for headers in ({}, {"Authorization": "Bearer 0123"}, {"Authorization": "Basic eDp5"}):
        request = urllib.request.Request(
            f"{filled.url}/api/sql",
            b'{"sql": "SELECT 1"}',
            {"Content-Type": "application/json", **headers},
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        assert caught.value.code in (401, 403)


# tail -----------------------------------------------------------------------------------------


class Tail:
    def __init__(self, data: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [*TRACKWAY, "tail", "--data", str(data), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(PYTHONUNBUFFERED="1"),
        )
        assert self.process.stdout and self.process.stderr
        assert self.process.stderr.readline().startswith("Waiting for events at http")

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def tail() -> Iterator[Callable[..., Tail]]:
    started: list[Tail] = []

    def start(*arguments: Any) -> Tail:
        started.append(Tail(*arguments))
        return started[-1]

    yield start
    for one in started:
        one.end()


def until_shown(server: Server, one: Tail, **keys: str) -> str:
    """Send an event until the stream shows it: when it listens cannot be seen from outside."""
    os.set_blocking(one.process.stdout.fileno(), False)  # type: ignore[union-attr]
    until = time.monotonic() + 30
    while not (line := one.line()):
        assert time.monotonic() < until, "tail shows nothing"
        send(server, **keys)
        time.sleep(0.1)
    os.set_blocking(one.process.stdout.fileno(), True)  # type: ignore[union-attr]
    return line


def test_tail_shows_events_as_they_come(server: Callable[..., Server], tail: Any) -> None:
    running = server()
    short, whole = tail(running.data), tail(running.data, "--format", "json")
    shown = until_shown(running, short, url="https://shop.example/lamps", uid="anna")
    assert "shop" in shown and "page_view" in shown and "/lamps" in shown and "u:anna" in shown
    line = json.loads(until_shown(running, whole, url="https://shop.example/lamps", uid="ben"))
    assert (line["site"], line["page_path"]) == ("shop", "/lamps")


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_tail_ends_when_the_server_does_and_does_not_hold_it_up(
    server: Callable[..., Server], tail: Any, end: str
) -> None:
    running = server()
    one = tail(running.data)
    until_shown(running, one)
    began = time.monotonic()
    getattr(running, end)()
    assert time.monotonic() - began < 9, "the server waited for its graceful time-out"
    assert one.process.wait(20) == 0


def test_tail_without_a_server_says_what_to_do(stopped: Path) -> None:
    done = run("tail", "--data", str(stopped))
    assert done.returncode == 1
    assert "no server runs on" in done.stderr
    assert "trackway serve" in done.stderr


# doctor ---------------------------------------------------------------------------------------


def test_the_doctor_finds_a_healthy_server(filled: Server) -> None:
    done = run("doctor", "--data", str(filled.data), "--endpoint", filled.url)
    assert done.returncode == 0, done.stdout
    assert f"a server runs on this folder at {filled.url}" in done.stdout
    assert f"the endpoint {filled.url} answers 200" in done.stdout
    assert "is writable" in done.stdout


def test_the_doctor_is_content_without_a_server(stopped: Path, tmp_path: Path) -> None:
    done = run("doctor", "--data", str(stopped))
    assert done.returncode == 0, done.stdout
    assert "no server runs on this folder" in done.stdout
    assert "the warehouse can be opened" in done.stdout
    done = run("doctor", "--data", str(tmp_path / "new"))
    assert done.returncode == 0, done.stdout
    assert "does not exist yet" in done.stdout


def test_the_doctor_finds_an_endpoint_that_does_not_answer(tmp_path: Path, free_port: int) -> None:
    endpoint = f"http://127.0.0.1:{free_port}"
    done = run("doctor", "--data", str(tmp_path), env={"TRACKWAY_ENDPOINT": endpoint})
    assert done.returncode == 1
    assert f"the endpoint {endpoint} does not answer" in done.stdout


def test_the_doctor_finds_a_damaged_warehouse(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").write_text("this is no database" * 1000)
    done = run("doctor", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "cannot be opened" in done.stdout
