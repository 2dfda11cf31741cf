"""``trackway serve``: the collector and the dashboard in one process on one port."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable
from typing import Any

from trackway.access import Access
from trackway.cli.live import live_events
from trackway.collector.service import CollectorService
from trackway.dashboard import create_dashboard
from trackway.errors import MissingExtra, SettingError
from trackway.settings import Settings

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _ended(number: int, frame: object) -> None:
    """The signal has done its work."""


class Service:
    """Collector and dashboard of one data folder, and the one port that both listen on.

    Everything that can fail on a person's mistake fails in the constructor: settings, folder,
    port. ``run`` then serves until SIGTERM or SIGINT.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        try:
            settings.data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(
                f"the data folder {settings.data} cannot be made: {error.strerror}"
            ) from error
        self.socket = _listen(settings.host, settings.port)
        try:
            self.access = Access(settings.data)
            self.collector = CollectorService(settings, secret=self.access.key("visitor"))
        except BaseException:
            self.socket.close()
            raise
        self.port: int = self.socket.getsockname()[1]
        self.url = settings.public_url.rstrip("/") or _url(settings.host, self.port)
        self.login_url = self.url + self.access.login_path()

    def run(self, ready: Callable[[], None]) -> None:
        """Serve until told to stop; ``ready`` is called once connections are accepted."""
        try:
            import uvicorn
        except ImportError:
            raise MissingExtra("uvicorn", "server") from None

        collector = self.collector.app

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets=sockets)
                ready()

            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                collector.hang_up()  # a live view would hold up the end
                await super().shutdown(sockets=sockets)

        config = uvicorn.Config(
            self._app(),
            http="httptools",
            loop="uvloop",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            date_header=False,
            proxy_headers=False,  # the collector believes only the proxies of its own setting
            timeout_keep_alive=75,  # trackers send now and then, and should not connect anew
            timeout_graceful_shutdown=10,
            backlog=2048,
        )
        server = Server(config)
        self.collector.start()
        # What is here by now stays until the end: no need to look for garbage among it again
        # and again while requests make and drop small objects.
        gc.collect()
        gc.freeze()
        # uvicorn raises the signal that ended it once more, for whoever was there before it.
        # What remains to be done is ours, so the first signal ends there; a second one kills,
        # which costs nothing that was acknowledged.
        before = {number: signal.signal(number, _ended) for number in _SIGNALS}
        try:
            with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
                runner.run(server.serve(sockets=[self.socket]))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.collector.close()
            gc.unfreeze()  # what is frozen could not be taken apart in order at the end

    def _app(self) -> Any:
        collector = self.collector.app
        warehouse = self.collector.warehouse
        settings = self.settings
        dashboard = create_dashboard(
            warehouse,
            self.access,
            time_zone=settings.time_zone,
            endpoint=settings.public_url.rstrip("/"),
            sql=lambda text: warehouse.ask(
                text, rows=settings.sql_rows, timeout=settings.sql_timeout
            ),
        )
        tail = live_events(collector, self.access)
        owns = collector.owns

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                return
            path = scope["path"]
            if owns(path):
                await collector(scope, receive, send)
            elif path == "/api/tail":
                await tail(scope, receive, send)
            else:
                await dashboard(scope, receive, send)

        return app


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, OverflowError) as error:
        raise SettingError(f"--host {host} --port {port}: {error}") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise SettingError(
            f"cannot listen on {host}:{port}: {error.strerror}; "
            "choose another --port (0 picks a free one)"
        ) from None
    listener.set_inheritable(False)
    return listener


def _url(host: str, port: int) -> str:
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
