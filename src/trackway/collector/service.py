"""The collector as one piece: spool, journal, loader and warehouse of a data folder."""

from __future__ import annotations

from trackway.collector.http import Collector
from trackway.collector.intake import Intake
from trackway.collector.journal import Journal
from trackway.collector.loading import Loading
from trackway.delivery.spool import Spool
from trackway.enrich.agent import parse_agent
from trackway.settings import Settings
from trackway.warehouse import DuckWarehouse
from trackway.warehouse.load import Loader

#: Acknowledging an event goes before answering a question about old ones (see setpriority(2)).
_NICE = 5


class CollectorService:
    """Everything behind the collector's HTTP face, for one data folder.

    Raises SpoolError or WarehouseError if the folder is in use or cannot be written.
    """

    def __init__(self, settings: Settings, *, secret: bytes) -> None:
        spool = Spool(settings.data / "spool", max_bytes=settings.spool_max_bytes)
        try:
            self.warehouse = DuckWarehouse(
                settings.data,
                memory=settings.duckdb_memory,
                threads=settings.duckdb_threads,
                nice=_NICE,
            )
        except BaseException:
            spool.close()
            raise
        self.journal = Journal(spool)
        self.loading = Loading(
            self.journal,
            Loader(self.warehouse),
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
        parse_agent("")  # reads the parser's rules, for which the first request would have to wait
        self.loading.start()

    def close(self) -> None:
        """Keep and load everything that was acknowledged, then let go of the folder."""
        self.journal.close()
        self.loading.close()
        self.warehouse.close()
