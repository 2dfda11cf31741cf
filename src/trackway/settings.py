"""Every setting of the server, its default, and the environment variable that sets it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from trackway.errors import SettingError


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of ``trackway serve`` and of the commands that ask it.

    Each field is set by the environment variable ``TRACKWAY_<NAME>``; options of the command line
    win over it.
    """

    data: Path = Path("trackway-data")  # the data folder
    host: str = "127.0.0.1"  # address to listen on
    port: int = 8765  # port to listen on; 0 picks a free one
    time_zone: str = "UTC"  # IANA name; the zone of the dashboard unless the URL says another
    public_url: str = ""  # how people reach the server, if not by host and port
    anonymize_ip: bool = True  # cut addresses to /24 (IPv4) or /48 (IPv6) before they are stored
    trusted_proxies: str = "127.0.0.1,::1"  # whose X-Forwarded-For is believed; "*" for anybody
    max_body_bytes: int = 2 * 1024 * 1024  # a larger request body is refused with 413
    body_timeout: float = 25.0  # seconds a client may take to send its body, then 408
    spool_max_bytes: int = 4 * 1024 * 1024 * 1024  # bound of what waits to be loaded, then 503
    load_interval: float = 1.0  # seconds between two loads into the warehouse
    duckdb_memory: str = "1GB"  # the most memory DuckDB may use before it goes to disk
    duckdb_threads: int = 2  # threads of DuckDB
    sql_timeout: float = 30.0  # seconds after which a query of a person is stopped
    sql_rows: int = 10_000  # the most rows a query of a person gets


def read_settings(
    options: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Settings from ``options`` (None: not given), else ``TRACKWAY_*``, else the defaults.

    Raises SettingError that names the variable or option and says what was expected.
    """
    environ = os.environ if environ is None else environ
    given: dict[str, Any] = {}
    for field in Settings.__struct_fields__:
        option = (options or {}).get(field)
        variable = f"TRACKWAY_{field.upper()}"
        if option is not None:
            value, name = option, f"--{field.replace('_', '-')}"
        elif environ.get(variable):
            value, name = environ[variable], variable
        else:
            continue
        given[field] = _convert(field, value, name)
    return Settings(**given)


def _convert(field: str, value: Any, name: str) -> Any:
    expected = _TYPES[field]
    if expected is Path:
        return Path(value).expanduser()
    if expected is bool and isinstance(value, str):
        value = {"yes": "true", "no": "false", "on": "true", "off": "false"}.get(
            value.lower(), value
        )
    try:
        return msgspec.convert(value, expected, strict=False)
    except msgspec.ValidationError:
        raise SettingError(f"{name} is {value!r}; expected {_NAMES[expected]}") from None


_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "yes or no"}
_TYPES: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(Settings)}
