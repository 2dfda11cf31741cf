"""Flask: records page views, and gives every event of a request the request's facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Unpack
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from trackway.errors import MissingExtra, SettingError
from trackway.integrations.recording import Options, RecordedRequest, Recorder
from trackway.integrations.request import full_url, quote_path
from trackway.tracker import Tracker

# -- import guard

try:
    import flask
except ImportError:
    raise MissingExtra("flask", "flask") from None

#: Where the page view's id waits in the WSGI environment until Flask has made its context.
_IN_ENVIRON = "trackway.page_view_id"

#: Options that the application's configuration may give as well, as ``TRACKWAY_<NAME>``.
CONFIGURABLE = ("endpoint", "app_id", "spool", "anonymous_id", "trusted_proxies")


class Trackway:
    """``Trackway(app)``, or ``trackway = Trackway()`` and later ``trackway.init_app(app)``.

    An option comes from the call, else from the application's configuration, else from the
    environment. Without ``tracker`` each application gets a tracker of its own.
    """

    # -- options

    def __init__(self, app: flask.Flask | None = None, **options: Unpack[Options]) -> None:
        self._options = options
        self._recorders: list[Recorder] = []
        if app is not None:
            self.init_app(app)

    # -- install at the native hook

    def init_app(self, app: flask.Flask) -> None:
        """Record the requests of ``app``; one Trackway may serve several applications.

        Raises SettingError if that application is recorded already.
        """
        if "trackway" in app.extensions:
            raise SettingError(f"Trackway is already installed in {app.name!r}: remove one of them")
        given: dict[str, Any] = {o: app.config.get(f"TRACKWAY_{o.upper()}") for o in CONFIGURABLE}
        given |= {option: value for option, value in self._options.items() if value is not None}
        recorder = Recorder(**{o: value for o, value in given.items() if value is not None})
        self._recorders.append(recorder)
        app.extensions["trackway"] = recorder
        app.wsgi_app = _Recording(app.wsgi_app, recorder)  # type: ignore[method-assign]
        flask.request_started.connect(_offer_page_view_id, app)

    @property
    def tracker(self) -> Tracker:
        """The tracker of the current application, or of the only one there is."""
        recorder = flask.current_app.extensions.get("trackway") if flask.has_app_context() else None
        if recorder is None and len(self._recorders) == 1:
            recorder = self._recorders[0]
        if not isinstance(recorder, Recorder):
            raise SettingError(
                f"Trackway serves {len(self._recorders)} applications: ask for the tracker "
                "inside a request or `with app.app_context():`"
            )
        return recorder.tracker


def _offer_page_view_id(app: flask.Flask, **_: object) -> None:
    flask.g.trackway_page_view_id = flask.request.environ.get(_IN_ENVIRON)


class _Recording:
    """Around Flask's own WSGI application: the only place that sees a response begin and close,
    and that can leave the scope of a request whatever happens inside."""

    def __init__(self, app: WSGIApplication, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        recorded = self._recorder.begin(_FlaskRequest(environ))
        environ[_IN_ENVIRON] = recorded.page_view_id
        is_wrapped = False

        def respond(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            nonlocal is_wrapped
            given = {name.lower(): value for name, value in headers}
            # Flask knows the length of everything but streams, whose views go on after Flask
            # has let go of the request.
            streams = "content-length" not in given
            cookie = recorded.respond(int(status[:3]), given.get, last_chance=streams)
            is_wrapped = streams or recorded.is_page_view
            if cookie:
                headers = [*headers, ("Set-Cookie", cookie)]
            return start_response(status, headers, *exc_info)

        with recorded.scope():
            body = self._app(environ, respond)
        # Anything else goes out untouched, so that the server can send files its own fast way.
        return _Body(body, recorded) if is_wrapped else body


class _Body:
    """The body on its way out: counted, made in the scope of its request, and closed once."""

    def __init__(self, body: Iterable[bytes], recorded: RecordedRequest) -> None:
        self._body = body
        self._chunks = iter(body)
        self._recorded = recorded

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        # Entered for each chunk, because the server may run other code between two of them.
        with self._recorded.scope():
            chunk = next(self._chunks)
        self._recorded.response_bytes += len(chunk)
        return chunk

    def close(self) -> None:
        self._recorded.close()  # first: what the host does at the close, nobody waits for
        if (close := getattr(self._body, "close", None)) is not None:
            with self._recorded.scope():
                close()


# -- request facts


class _FlaskRequest:
    """What Flask and WSGI say about one request."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ
        self.method: str = environ["REQUEST_METHOD"]

    def header(self, name: str) -> str | None:
        return self._environ.get(_key(name))

    def url(self) -> str:
        environ = self._environ
        host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
        # WSGI hands over the bytes of the path as Latin-1 text (PEP 3333).
        path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}".encode("latin-1")
        query = environ.get("QUERY_STRING", "")
        return full_url(environ["wsgi.url_scheme"], host, quote_path(path), query)

    def peer(self) -> str | None:
        return self._environ.get("REMOTE_ADDR") or None

    def route(self) -> str | None:
        rule = flask.request.url_rule if flask.has_request_context() else None
        return None if rule is None else rule.rule

    def user_id(self) -> Any:
        """Of Flask-Login: the user it has loaded, else the id in the session.

        Never makes it load one: that would be a query of the database for each page view.
        """
        if not flask.has_request_context() or not hasattr(flask.current_app, "login_manager"):
            return None
        if (user := flask.g.get("_login_user")) is not None:
            return user.get_id() if user.is_authenticated else None
        return flask.session.get("_user_id")

    def page_title(self) -> str | None:
        return flask.g.get("trackway_page_title") if flask.has_request_context() else None

    def native(self) -> flask.Request:
        if flask.has_request_context():
            return flask.request
        return flask.Request(self._environ, populate_request=False)


@cache
def _key(header: str) -> str:
    """Where a WSGI environment has a header; we ask for a dozen of names, again and again."""
    key = header.upper().replace("-", "_")
    return key if key == "CONTENT_LENGTH" else f"HTTP_{key}"


# -- shutdown

# WSGI has no hook for it, and needs none: at the end of the process the tracker's emitter delivers
# what is left, and `trackway.tracker.close()` does so earlier.
