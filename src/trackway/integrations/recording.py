"""The life of one recorded request, the same for every framework: begin, respond, close."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from time import perf_counter, time_ns
from typing import Any, TypedDict, TypeVar

from trackway.enrich.address import Proxies
from trackway.event import SelfDescribingJson
from trackway.ids import new_id
from trackway.integrations.request import (
    Headers,
    Request,
    RequestFacts,
    anonymous_cookie,
    has_opted_out,
    is_page_view,
    may_be_shared,
    read_anonymous_id,
    read_facts,
)
from trackway.scope import Scope
from trackway.tracker import Tracker

#: The user's callables; each gets the framework's request.
RequestFilter = Callable[[Any], object]
UserId = Callable[[Any], object]
Context = Callable[[Any], Iterable[SelfDescribingJson | Mapping[str, Any]] | None]

T = TypeVar("T")


class Options(TypedDict, total=False):
    """The options of every integration, declared once so that they cannot drift apart."""

    tracker: Tracker | None  #: whose events these are; None: a new tracker
    endpoint: str | None  #: of a new tracker; None: ``TRACKWAY_ENDPOINT`` or the local server
    app_id: str | None  #: of a new tracker; None: ``TRACKWAY_APP_ID``
    spool: str | Path | None  #: of a new tracker: keeps events; None: ``TRACKWAY_SPOOL`` or none
    request_filter: RequestFilter | None  #: what it says no to is not recorded, nor its events
    user_id: UserId | None  #: who it is; None: the user of the framework's own login
    anonymous_id: bool  #: whether a first-party cookie may recognise the browser
    context: Context | None  #: contexts for the page view
    trusted_proxies: str  #: addresses, networks or ``*``, whose X-Forwarded-For is believed


class Recorder:
    """A tracker and the options with which an application's requests are recorded."""

    def __init__(
        self,
        *,
        tracker: Tracker | None = None,
        endpoint: str | None = None,
        app_id: str | None = None,
        spool: str | Path | None = None,
        request_filter: RequestFilter | None = None,
        user_id: UserId | None = None,
        anonymous_id: bool = False,
        context: Context | None = None,
        trusted_proxies: str = "",
    ) -> None:
        self.proxies = Proxies(trusted_proxies)
        self.tracker = tracker or Tracker(endpoint=endpoint, app_id=app_id, spool=spool)
        self.request_filter = request_filter
        self.user_id = user_id
        self.anonymous_id = anonymous_id
        self.context = context

    def begin(self, request: Request) -> RecordedRequest:
        """A request has come in. Costs little: nothing is read before somebody wants to know."""
        return RecordedRequest(self, request)

    def guarded(self, role: str, call: Callable[..., T], *args: Any) -> T | None:
        """What the call returns, or None if it raises, which the tracker's pipeline counts.

        Recording must never break a request, whatever a request or the user's callable contains.
        """
        try:
            return call(*args)
        except Exception as error:
            self.tracker.pipeline.failed(role, call, error)
            return None


class RecordedRequest:
    """One request, from its beginning to the close of its response. Its methods raise nothing."""

    __slots__ = (
        "_clock", "_created", "_final", "_fresh", "_known", "_may_issue", "_read", "_recorder",
        "_request", "_view", "_wanted", "page_view_id", "response_bytes",
    )  # fmt: skip

    def __init__(self, recorder: Recorder, request: Request) -> None:
        self._created = time_ns() // 1_000_000
        self._clock = perf_counter()
        self._recorder = recorder
        self._request = request
        self._wanted: bool | None = None  # by the filter; None: not asked yet
        self._read: RequestFacts | None = None
        self._known: dict[str, Any] | None = None  # the facts that do not change
        self._fresh: str | None = None  # an anonymous id that the browser does not have yet
        self._may_issue = True  # the response can still carry a cookie
        self._final: Mapping[str, Any] | None = None  # all facts, once the response has begun
        self._view: dict[str, Any] | None = None
        self.page_view_id = new_id()
        #: Bytes of the body that were sent so far; the integration counts them.
        self.response_bytes = 0

    @property
    def is_page_view(self) -> bool:
        """Whether the close of the response will make a page view."""
        return self._view is not None

    def scope(self) -> AbstractContextManager[Scope]:
        """The scope in which the application's code runs."""
        return self._recorder.tracker.scope(late=self.facts)

    def facts(self) -> Mapping[str, Any] | None:
        """What events of this request carry, as it is known now; None if it is filtered out.

        Asked at each event, so that the route and a login inside the request count.
        """
        if self._final is not None:
            return self._final
        if not self._is_wanted():
            return None
        guarded = self._recorder.guarded
        if self._known is None:
            self._known = guarded("request", self._read_request) or {}
        route = guarded("request", self._request.route)
        return {**self._known, "route": route, "user_id": self._user_id()}

    def respond(self, status: int, header: Headers, *, last_chance: bool = False) -> str | None:
        """The response begins, with these headers; the Set-Cookie value that it should carry.

        ``last_chance``: the framework's request will be gone when the body is made.
        """
        return self._recorder.guarded("request", self._respond, status, header, last_chance)

    def close(self) -> None:
        """The response is out: now the page view, if it is one, knows everything."""
        view, self._view = self._view, None
        if view is not None:
            self._recorder.guarded("request", self._track, view)

    def _is_wanted(self) -> bool:
        if self._wanted is None:
            wants = self._recorder.request_filter
            # A filter that fails has not said yes; it may stand for somebody's consent.
            self._wanted = wants is None or bool(self._ask("request_filter", wants))
        return self._wanted

    def _read_request(self) -> dict[str, Any]:
        self._read = read_facts(self._request, self._recorder.proxies)
        facts = self._read.for_every_event()
        header = self._request.header
        if self._recorder.anonymous_id and not has_opted_out(header):
            known = read_anonymous_id(header("cookie"))
            if known is None and self._may_issue:
                known = self._fresh = new_id()
            facts["anonymous_id"] = known
        return facts

    def _user_id(self) -> str | None:
        ask = self._recorder.user_id
        if ask is None:
            user = self._recorder.guarded("login", self._request.user_id)
        else:
            user = self._ask("user_id", ask)
        # 0 is a user; False is what `user.is_authenticated and user.id` makes of nobody.
        return None if user is None or user is False or user == "" else str(user)

    def _ask(self, option: str, call: Callable[[Any], T]) -> T | None:
        request = self._recorder.guarded("request", self._request.native)
        return self._recorder.guarded(option, call, request)

    def _respond(self, status: int, header: Headers, last_chance: bool) -> str | None:
        request = self._request
        may_issue = not may_be_shared(header("cache-control"))
        self._may_issue = may_issue
        self._view = None
        is_view = is_page_view(request.method, status, header("content-type"), request.header)
        if (is_view or last_chance) and (facts := self.facts()) is not None:
            self._final = facts
            if is_view:
                self._view = {**facts, "status": status, **self._facts_of_the_view()}
        self._may_issue = False
        if self._fresh is None or self._read is None or not may_issue:
            return None
        return anonymous_cookie(self._fresh, secure=self._read.page_url.startswith("https:"))

    def _facts_of_the_view(self) -> dict[str, Any]:
        guarded, ask = self._recorder.guarded, self._recorder.context
        title = guarded("request", self._request.page_title)
        given = None if ask is None else self._ask("context", ask)
        return {
            "page_title": None if title is None else str(title),
            "context": given and guarded("context", _describing, given),
            "request_bytes": self._read.request_bytes if self._read else None,
        }

    def _track(self, view: dict[str, Any]) -> None:
        self._recorder.tracker.track_page_view(
            **view,
            created=self._created,
            event_id=self.page_view_id,
            duration_ms=(perf_counter() - self._clock) * 1000,
            response_bytes=self.response_bytes,
        )


def _describing(
    contexts: Iterable[SelfDescribingJson | Mapping[str, Any]],
) -> list[SelfDescribingJson]:
    """Checked here, inside the guard: a context in a wrong form must not cost the page view."""
    return [
        one
        if isinstance(one, SelfDescribingJson)
        else SelfDescribingJson(one["schema"], one["data"])
        for one in contexts
    ]
