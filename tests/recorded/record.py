"""Records what snowplow-tracker sends: makes the files beside this one anew.

    .venv-peers/bin/python tests/recorded/record.py

``post-*.json`` are bodies of POSTs, ``get-*.txt`` query strings of GETs, one request per line.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

HERE = Path(__file__).parent
#: Events per file: one round of all calls.
COUNT = 24


class Recordings(HTTPServer):
    """A server that remembers what it was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Recorder)
        self.requests = []


class Recorder(BaseHTTPRequestHandler):
    server: Recordings
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.keep(self.path.partition("?")[2])

    def do_POST(self):
        self.keep(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def keep(self, request):
        self.server.requests.append(request)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    for method in ("post", "get"):
        for coding in ("base64", "plain"):
            server = Recordings()
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}"
            client = [sys.executable, str(HERE / "client.py"), url, method, coding, str(COUNT)]
            subprocess.run(client, check=True, stdout=subprocess.DEVNULL)
            server.shutdown()
            suffix = "json" if method == "post" else "txt"
            text = "".join(f"{request}\n" for request in server.requests)
            (HERE / f"{method}-{coding}.{suffix}").write_text(text)
            print(f"{method}-{coding}: {len(server.requests)} requests")


if __name__ == "__main__":
    main()
