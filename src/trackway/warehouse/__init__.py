"""The warehouse: the table of events and its neighbours, on DuckDB."""

from trackway.warehouse.duckdb import DuckWarehouse

__all__ = ["DuckWarehouse"]
