"""From what a person writes for a collector to the URL that events are posted to."""

from __future__ import annotations

import re

from trackway.errors import SettingError

GET_PATH = "/i"
TP2_PATH = "/com.snowplowanalytics.snowplow/tp2"

#: Where ``trackway serve`` listens unless told otherwise.
DEFAULT_ENDPOINT = "http://127.0.0.1:8765"

_ENDPOINT = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>\[[0-9a-f:.]+\]|[^\s/:?#\[\]@]+)(?::(?P<port>\d+))?"
    r"(?P<path>/[^\s?#]*)?",
    re.IGNORECASE,
)


def collector_url(
    endpoint: str, *, protocol: str = "https", port: int | None = None, method: str = "post"
) -> str:
    """The URL of a collector that is given as host, host:port, host/path or full URL: the tp2
    path for "post", ``/i`` for "get".

    ``protocol`` counts only where the endpoint names no scheme; ``port`` goes after the host.
    Raises SettingError for what is no host.
    """
    given: object = endpoint  # settings are read from everywhere
    match = _ENDPOINT.fullmatch(given.strip()) if isinstance(given, str) else None
    if match is None:
        raise SettingError(
            f"endpoint {endpoint!r} is no collector address; "
            "write a host or a URL such as https://collector.example.com"
        )
    if str(protocol).lower() not in ("http", "https"):
        raise SettingError(f"protocol is {protocol!r}; expected 'http' or 'https'")
    number = match["port"] if port is None else str(port)
    if number and not (number.isdecimal() and len(number) < 6 and 0 < int(number) < 65536):
        raise SettingError(f"port {number} of endpoint {endpoint!r} is not between 1 and 65535")
    scheme = (match["scheme"] or protocol).lower()
    place = match["host"] + (f":{int(number)}" if number else "")
    path = TP2_PATH if method == "post" else GET_PATH
    return f"{scheme}://{place}{(match['path'] or '').rstrip('/')}{path}"
