"""The collector as one piece: spool, journal, loader and warehouse of a data folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from trackway.collector.http import Collector
from trackway.collector.intake import Intake
from trackway.collector.journal import Journal
from trackway.collector.loading import Loading
from trackway.delivery.spool import Spool
from trackway.event import Event
from trackway.settings import Settings
from trackway.warehouse import DuckWarehouse
from trackway.warehouse.load import Loader

#: How much nicer than the threads that take events those are that load and answer questions.
_NICER = 5


class CollectorService:
    """Everything behind the collector's HTTP face, for one data folder.

    Raises SpoolError or WarehouseError if the folder is in use or cannot be written.
    """

    def __init__(self, settings: Settings, *, secret: bytes) -> None:
        spool = Spool(settings.data / "spool", max_bytes=settings.spool_max_bytes)
        try:
            # Threads inherit the priority of the thread that starts them, and DuckDB starts its
            # own: acknowledging an event goes before answering a question about old ones.
            self.warehouse = _in_nicer_thread(
                lambda: DuckWarehouse(
                    settings.data,
                    memory=settings.duckdb_memory,
                    threads=settings.duckdb_threads,
                )
            )
        except BaseException:
            spool.close()
            raise
        self.journal = Journal(spool)
        self.loading = Loading(
            self.journal,
            Loader(self.warehouse, Event.__struct_fields__),
            interval=settings.load_interval,
        )
        self.intake = Intake(
            secret=secret,
            anonymize_ip=settings.anonymize_ip,
            trusted_proxies=settings.trusted_proxies,
        )
        self.app = Collector(
            self.intake,
            self.journal,
            sink_trouble=lambda: self.loading.last_error,
            max_body_bytes=settings.max_body_bytes,
            body_timeout=settings.body_timeout,
        )

    def start(self) -> None:
        """Begin to load, with what an earlier process may have left in the spool."""
        _in_nicer_thread(self.loading.start)

    def close(self) -> None:
        """Keep and load everything that was acknowledged, then let go of the folder."""
        self.journal.close()
        self.loading.close()
        self.warehouse.close()


def _in_nicer_thread(call: Callable[[], Any]) -> Any:
    """Call in a thread of lower priority, and wait for what it returns or raises."""
    outcome: list[Any] = []

    def run() -> None:
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICER)
        try:
            outcome.append((True, call()))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    succeeded, value = outcome[0]
    if not succeeded:
        raise value
    return value
