"""An HTTP proxy before an object store that fails as told: busy, cut short, reset, or listing late."""

import http.client
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

BUSY, CUT, RESET, DONE_THEN_RESET = "busy", "cut", "reset", "done, then reset"
_SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>"
_CONTENTS = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)


@dataclass
class Faults:
    """What goes wrong, decided per request; requests are counted.

    Attributes:
        fault: Gets method, path with query, and how many requests of this method there were.
        listing: Gets the XML of a listing and how many listings there were.
        endpoint: Of the proxy.
        requests: Method and path of every request that arrived.
    """

    fault: Callable[[str, str, int], str | None] = lambda method, path, number: None
    listing: Callable[[bytes, int], bytes] = lambda content, number: content
    endpoint: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)

    def count(self, method: str) -> int:
        """Requests of a method so far; ``LIST`` is a GET of a listing."""
        return sum(_kind(*request) == method for request in self.requests)


def without(content: bytes, key: str) -> bytes:
    """A listing that lacks an object."""
    return _CONTENTS.sub(lambda found: b"" if f"{key}</Key>".encode() in found[0] else found[0], content)


def with_another(content: bytes, key: str, other: str) -> bytes:
    """A listing that has another object beside one, of the same size and version."""
    return _CONTENTS.sub(
        lambda found: (
            found[0] + found[0].replace(key.encode(), other.encode())
            if f"{key}</Key>".encode() in found[0]
            else found[0]
        ),
        content,
    )


@contextmanager
def faulty(target: str, faults: Faults) -> Iterator[Faults]:
    """Listen on a free port until the block ends."""

    class Handler(_Handler):
        upstream, told = urlsplit(target).netloc, faults

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        faults.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield faults
        finally:
            server.shutdown()
            thread.join()


def _kind(method: str, path: str) -> str:
    return "LIST" if method == "GET" and "list-type" in parse_qs(urlsplit(path).query) else method


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: str
    told: Faults

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.told.requests.append((self.command, self.path))
        kind = _kind(self.command, self.path)
        number = self.told.count(kind)
        fault = self.told.fault(kind, self.path, number)
        if fault == BUSY:
            self._answer(503, [], _SLOW_DOWN)
        elif fault == RESET:
            self._reset()
        else:
            self._forward(kind, body, fault, number)

    def _forward(self, kind: str, body: bytes, fault: str | None, number: int) -> None:
        connection = http.client.HTTPConnection(self.upstream, timeout=30)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():  # the host too: it is signed
            connection.putheader(name, value)
        connection.endheaders(body or None)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if kind == "LIST":
            content = self.told.listing(content, number)
        headers = [(k, v) for k, v in response.getheaders() if k.lower() not in _HOP]
        if fault == DONE_THEN_RESET:
            self._reset()
        elif self.command == "HEAD":
            length = response.getheader("Content-Length", "0")
            self._answer(response.status, [*headers, ("Content-Length", length)], None)
        else:
            self._answer(response.status, headers, content, cut=fault == CUT)

    def _answer(
        self, status: int, headers: list[tuple[str, str]], content: bytes | None, cut: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if content is not None:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write((content or b"")[: len(content or b"") // 2 if cut else None])
        self.wfile.flush()
        if cut:
            self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def finish(self) -> None:
        """As the base class, for a connection that may be gone."""
        try:
            super().finish()
        except (OSError, ValueError):
            return

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _serve  # noqa: N815 - the base class's names


_HOP = ("content-length", "transfer-encoding", "connection", "keep-alive")
