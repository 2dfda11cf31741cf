"""The ways to a collector: POST of many events, GET of each, over our connection or a session."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from time import monotonic, time
from typing import Any, Protocol

import msgspec

from trackway.delivery.http import Answer
from trackway.delivery.retry import parse_retry_after
from trackway.wires.snowplow import BODY_END, BODY_START

#: What sending adds to each item: the time of sending, a brace and a comma.
STAMP_BYTES = len(',"stm":"1795159501000"},')


#: zlib's number for the form that HTTP calls gzip.
_GZIP = 31


class Exchange(Protocol):
    """What makes one request: ours (``delivery.http.Connection``) or a session of the host's."""

    def request(
        self, method: str, url: str, body: bytes | None = None, *, within: float | None = None
    ) -> Answer:
        """One exchange. Raises nothing."""

    def close(self) -> None:
        """Let go of connections."""


class PostSender:
    """Sends a batch as one POST (``payload_data`` 1-0-4) and stamps each event (``stm``)."""

    def __init__(self, exchange: Exchange, url: str, *, compress: bool = False) -> None:
        self.exchange = exchange
        self.name = url
        self.compress = compress

    def send(self, items: list[bytes], *, within: float | None) -> Answer:
        stamp = b',"stm":"%d"}' % int(time() * 1000)
        body = BODY_START + (stamp + b",").join(items) + stamp + BODY_END
        if self.compress:
            packer = zlib.compressobj(1, wbits=_GZIP)
            body = packer.compress(body) + packer.flush()
        return self.exchange.request("POST", self.name, body, within=within)

    def close(self) -> None:
        self.exchange.close()


class GetSender:
    """Sends each event of a batch as a GET of its own, first in first out."""

    def __init__(self, exchange: Exchange, url: str) -> None:
        self.exchange = exchange
        self.name = url

    def send(self, items: list[bytes], *, within: float | None) -> Answer:
        from urllib.parse import urlencode  # who posts does not need it

        until = None if within is None else monotonic() + within
        each: list[Answer] = []
        for item in items:
            payload = msgspec.json.decode(item + b"}")
            payload["stm"] = str(int(time() * 1000))
            rest = None if until is None else max(0.05, until - monotonic())
            url = f"{self.name}?{urlencode(payload)}"
            each.append(self.exchange.request("GET", url, within=rest))
            if not each[-1].status:  # nobody is there: the others would wait as long in vain
                each += [each[-1]] * (len(items) - len(each))
                break
        last = next((a for a in reversed(each) if not 200 <= a.status < 300), each[-1])
        return Answer(last.status, last.retry_after, last.error, each)

    def close(self) -> None:
        self.exchange.close()


class SessionExchange:
    """Requests through a session of the host's, which has ``post`` and ``get`` as requests has."""

    def __init__(
        self,
        session: Any,
        *,
        headers: Mapping[str, str],
        connect_timeout: float,
        read_timeout: float,
    ) -> None:
        self.session = session
        self.headers = dict(headers)
        self.timeouts = connect_timeout, read_timeout

    def request(
        self, method: str, url: str, body: bytes | None = None, *, within: float | None = None
    ) -> Answer:
        limits = tuple(s if within is None else min(s, within) for s in self.timeouts)
        options: dict[str, Any] = {"headers": self.headers, "timeout": limits}
        try:
            if method == "POST":
                response = self.session.post(url, data=body, **options)
            else:
                response = self.session.get(url, **options)
            status = int(response.status_code)
        except Exception as error:  # whatever it is, it must not end the worker: try again
            return Answer(0, error=f"{type(error).__name__}: {error}")
        wish = (getattr(response, "headers", None) or {}).get("Retry-After")
        return Answer(
            status, parse_retry_after(wish), "" if 200 <= status < 300 else f"HTTP {status}"
        )

    def close(self) -> None:
        """The session belongs to the host."""
