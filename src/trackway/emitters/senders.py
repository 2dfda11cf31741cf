"""The ways to a collector: POST of many events, GET of each, over our connection or a session."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from contextlib import suppress
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
        # Who posts does not need it. Not by a worker: a child that is forked while one imports
        # would find the module half made, and nobody to finish it.
        from urllib.parse import urlencode

        self.exchange = exchange
        self.name = url
        self._urlencode = urlencode

    def send(self, items: list[bytes], *, within: float | None) -> Answer:
        until = None if within is None else monotonic() + within
        each: list[Answer] = []
        for item in items:
            rest = None if until is None else until - monotonic()
            if rest is not None and rest <= 0:
                each.append(Answer(0, error="no time was left"))
            else:
                each.append(self._send_one(item, rest))
            if not each[-1].status:  # nobody is there: the others would wait as long in vain
                each += [each[-1]] * (len(items) - len(each))
                break
        last = next((a for a in reversed(each) if not 200 <= a.status < 300), each[-1])
        return Answer(last.status, last.retry_after, last.error, each)

    def _send_one(self, item: bytes, within: float | None) -> Answer:
        payload = msgspec.json.decode(item + b"}")
        payload["stm"] = str(int(time() * 1000))
        url = f"{self.name}?{self._urlencode(payload)}"
        answer = self.exchange.request("GET", url, within=within)
        # A URL that is too long is an event that is too large.
        return answer._replace(status=413) if answer.status == 414 else answer

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
            status = _status(response, method)
        except Exception as error:  # whatever it is, it must not end the worker: try again
            return Answer(0, error=f"{type(error).__name__}: {error}")
        wish = None
        with suppress(Exception):  # a stand-in need not have headers
            wish = parse_retry_after(response.headers.get("Retry-After"))
        return Answer(status, wish, "" if 200 <= status < 300 else f"HTTP {status}")

    def close(self) -> None:
        """The session belongs to the host."""


def _status(response: Any, method: str) -> int:
    """The status; that of the redirection where a POST became a GET, which carries no events."""
    history = getattr(response, "history", None)
    passed = [one.status_code for one in history] if isinstance(history, list) else []
    lost = [code for code in passed if method == "POST" and code in (301, 302, 303)]
    return int(lost[0] if lost else response.status_code)
