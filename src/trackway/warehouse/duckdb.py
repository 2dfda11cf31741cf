"""The warehouse on DuckDB: one file, one owner process, read-only questions from anybody."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trackway.errors import MissingExtra, QueryRefused, WarehouseError
from trackway.sinks import Table
from trackway.warehouse.schema import DUCKDB_TABLES, SCHEMA_VERSION

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Smaller pages of the file format than the default would cost more on disk, and 'latest' brings
#: the newer string compression; both processes that open the file come from this package.
STORAGE_VERSION = "latest"

#: How much DuckDB's own log may hold before it is worked into the file. A checkpoint compresses
#: the last row group anew, so small steps cost much (measured: 37,000 events/s loaded at the
#: default of 16 MB, 52,000 at this); the log is read back at start in a second or two.
CHECKPOINT_THRESHOLD = "256MB"


class DuckWarehouse:
    """The DuckDB file ``warehouse.duckdb`` in a data folder.

    ``folder``: the data folder, made if missing. ``read_only``: for a look while no server runs.
    ``memory`` (``"1GB"``) and ``threads`` bound what DuckDB takes for itself. ``nice``: by how much
    DuckDB's threads, and every thread that asks, give way to the other threads of the process.

    Raises MissingExtra without DuckDB, WarehouseError if the file cannot be opened: another
    process owns it, it is damaged, or a newer Trackway wrote it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        read_only: bool = False,
        memory: str = "1GB",
        threads: int = 2,
        nice: int = 0,
    ) -> None:
        try:
            import duckdb
        except ImportError:
            raise MissingExtra("duckdb", "server") from None
        self._duckdb = duckdb
        self._nice = nice
        self._read_only = read_only
        self.Error: type[Exception] = duckdb.Error
        self.DataErrors = (duckdb.DataError, duckdb.InvalidInputException)
        self.path = folder / "warehouse.duckdb"
        #: Where batches wait while they are loaded; the only folder that SQL can read.
        self.staging = folder / "staging"
        if read_only and not self.path.exists():
            raise WarehouseError(f"{folder} holds no warehouse yet; start `trackway serve` first")
        try:
            self.staging.mkdir(parents=True, exist_ok=True)
            # Threads inherit the priority of the thread that starts them, and DuckDB starts its
            # own when it opens: so that happens in a thread that is nicer already.
            with ThreadPoolExecutor(1, initializer=self._give_way) as opener:
                self._root = opener.submit(self._open, read_only, memory, threads).result()
        except (duckdb.Error, OSError) as error:
            raise WarehouseError(_why_not(self.path, error)) from error
        self._local = threading.local()

    def _open(self, read_only: bool, memory: str, threads: int) -> DuckDBPyConnection:
        root = self._duckdb.connect(
            config={
                "memory_limit": memory,
                "threads": threads,
                "checkpoint_threshold": CHECKPOINT_THRESHOLD,
                "temp_directory": str(self.staging),
                "autoinstall_known_extensions": False,
                "preserve_insertion_order": True,
            }
        )
        place = str(self.path).replace("'", "''")
        mode = "READ_ONLY" if read_only else f"STORAGE_VERSION '{STORAGE_VERSION}'"
        root.execute(f"ATTACH '{place}' AS warehouse ({mode})")
        root.execute("USE warehouse")
        if not read_only:
            root.execute(DUCKDB_TABLES)
            self._check_version(root)
        # A person's SQL must not read other files, nor reach the network, nor undo this.
        staging = str(self.staging).replace("'", "''")
        root.execute(f"SET allowed_directories = ['{staging}']")
        root.execute("SET enable_external_access = false")
        root.execute("SET lock_configuration = true")
        return root

    def _check_version(self, root: DuckDBPyConnection) -> None:
        found = root.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        if found is None:
            root.execute("INSERT INTO meta VALUES ('schema', ?)", [str(SCHEMA_VERSION)])
        elif int(found[0]) > SCHEMA_VERSION:
            raise WarehouseError(f"{self.path} was written by a newer Trackway; upgrade this one")

    def connection(self) -> DuckDBPyConnection:
        """This thread's own connection to the one open database."""
        cursor = getattr(self._local, "cursor", None)
        if cursor is None:
            self._give_way()
            cursor = self._root.cursor()
            cursor.execute("USE warehouse")
            self._local.cursor = cursor
        return cursor

    def roll_back(self, connection: DuckDBPyConnection) -> None:
        """End a transaction that failed; a commit that failed has ended it already."""
        with contextlib.suppress(self.Error):
            connection.execute("ROLLBACK")

    def _give_way(self) -> None:
        """Make the current thread nicer; on Linux each thread has a priority of its own."""
        if self._nice and sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)

    def query(self, sql: str, params: Sequence[Any] = ()) -> Table:
        """Run one of our own queries; ``?`` marks a parameter. Raises WarehouseError."""
        try:
            cursor = self.connection().execute(sql, list(params))
            return Table([column[0] for column in cursor.description or ()], cursor.fetchall())
        except self._duckdb.Error as error:
            raise WarehouseError(f"the warehouse cannot answer: {error}") from error

    def ask(self, sql: str, *, rows: int = 10_000, timeout: float = 30.0) -> Table:
        """Run a person's SQL: one SELECT, in a read-only transaction, stopped after ``timeout``
        seconds; at most ``rows`` rows. Raises QueryRefused with one clear sentence."""
        self._only_select(sql)
        self._give_way()
        connection = self._root.cursor()
        try:
            connection.execute("USE warehouse")
            connection.execute("BEGIN TRANSACTION READ ONLY")
            with _stopped_after(timeout, connection) as stopped:
                try:
                    cursor = connection.execute(sql)
                    found = cursor.fetchmany(rows)
                except self._duckdb.InterruptException:
                    if not stopped.is_set():
                        raise
                    raise QueryRefused(f"the query was stopped after {timeout:g} seconds") from None
            return Table([column[0] for column in cursor.description or ()], found)
        except self._duckdb.Error as error:
            raise QueryRefused(str(error)) from None
        finally:
            connection.close()

    def _only_select(self, sql: str) -> None:
        try:
            statements = self._duckdb.extract_statements(sql)
        except self._duckdb.Error as error:
            raise QueryRefused(str(error)) from None
        kinds = {statement.type.name for statement in statements}
        if len(statements) != 1 or not kinds <= {"SELECT", "EXPLAIN"}:
            raise QueryRefused("only a single SELECT statement can be asked")

    def close(self) -> None:
        """Write everything into the one file and let go of it."""
        if not self._read_only:
            with contextlib.suppress(self.Error):  # a reader may still be busy; the log keeps it
                self._root.execute("CHECKPOINT warehouse")
        self._root.close()


@contextlib.contextmanager
def _stopped_after(seconds: float, connection: DuckDBPyConnection) -> Iterator[threading.Event]:
    """Interrupt the connection after some seconds; the event says whether that happened."""
    stopped, finished = threading.Event(), threading.Event()

    def watch() -> None:
        if not finished.wait(seconds):
            stopped.set()
            # once more each moment: an interrupt between two pipelines of a query can be missed
            while not finished.wait(0.05):
                connection.interrupt()

    watcher = threading.Thread(target=watch, name="trackway-sql-timeout", daemon=True)
    watcher.start()
    try:
        yield stopped
    finally:
        finished.set()
        watcher.join()


def _why_not(path: Path, error: Exception) -> str:
    if "Conflicting lock" in str(error) or "lock" in str(error).lower():
        return f"{path} is open in another process (is `trackway serve` running on this folder?)"
    return f"{path} cannot be opened: {error}"
