"""Servers on loopback: files with ranges, what OSF and figshare answer, and a bad connection."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = bytes | Callable[[str], object]


@contextmanager
def web_server(pages: dict[str, Answer], *, ranges: bool = True) -> Iterator[str]:
    """Serve bytes (in ranges, if asked), and functions of the server's address as JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            if page is None:
                self.send_error(404)
                return
            content = page if isinstance(page, bytes) else json.dumps(page(address)).encode()
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(wanted[1]) if wanted and ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def cutting_proxy(port: int, cuts: list[int]) -> Iterator[tuple[str, list[int]]]:
    """Pass connections on to a port; cut the first that has carried `cuts[0]` bytes, and so on.

    Yields the proxy's address and a list that fills with the bytes that each cut one carried.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    waiting, cut = list(cuts), []

    def pass_on(source: socket.socket, target: socket.socket, cuttable: bool) -> None:
        sent = 0
        try:
            while block := source.recv(16384):
                most = waiting[0] if cuttable and waiting else sent + len(block) + 1
                target.sendall(block[: most - sent])
                sent += len(block)
                if sent >= most:
                    cut.append(waiting.pop(0))
                    break
        except OSError:
            pass
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # closing alone would leave the other thread waiting

    def answer(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            asking = threading.Thread(target=pass_on, args=(client, server, False), daemon=True)
            asking.start()
            pass_on(server, client, True)
            asking.join()

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", cut
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
