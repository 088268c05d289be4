"""A server that answers as it is told, byte by byte: for what no emulator does, and to see what was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time
from typing import Any
from zlib import crc32

REGION = "eu-west-1"


@dataclass(frozen=True)
class Reply:
    """What is answered. *headers* override what is usual; None leaves one out. *cut* is where the bytes end."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    cut: int | None = None

    def encoded(self) -> bytes:
        usual: dict[str, str | None] = {
            "Server": "Server",
            "Date": formatdate(time(), usegmt=True),
            "Content-Length": str(len(self.body)),
            "x-amzn-RequestId": "R1",
            "x-amz-crc32": str(crc32(self.body)),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in {**usual, **self.headers}.items() if value is not None)
        return (f"HTTP/1.1 {self.status} Told\r\n{head}\r\n".encode() + self.body)[: self.cut]


def refusal(code: str, message: str = "", status: int = 400, **headers: str | None) -> Reply:
    """An error as DynamoDB tells it."""
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}
    return Reply(status, json.dumps(body).encode(), headers)


@dataclass(frozen=True)
class Request:
    """What was sent, and from where: a connection has a port of its own."""

    operation: str
    headers: Mapping[str, str]
    port: int


@dataclass
class Wire:
    """The server: what it is to answer, the last of it again and again, and what it was asked."""

    url: str
    replies: list[Reply] = field(default_factory=lambda: [Reply()])
    requests: list[Request] = field(default_factory=list[Request])
    silent: threading.Event = field(default_factory=threading.Event)
    """While it is set, nothing is answered until it is over."""

    def next(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@contextmanager
def wire() -> Generator[Wire]:
    """A server, for as long as it is used."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            operation = self.headers.get("X-Amz-Target", self.path).rpartition(".")[2]
            told.requests.append(Request(operation, dict(self.headers), self.client_address[1]))
            reply = told.next()
            if told.silent.is_set():
                over.wait()
            else:
                self.wfile.write(reply.encoded())
            self.close_connection = reply.cut is not None or told.silent.is_set()

        do_GET = do_PUT = do_POST = answer  # noqa: N815 - the names of the protocol's methods

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base's
            pass

    over = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told = Wire(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield told
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
