"""A TLS server and a proxy on loopback, for tests of the way by TLS: small and real."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rdv.tls.authority import Pair

Handler = Callable[[socket.socket], None]


@contextmanager
def listening(handler: Handler) -> Iterator[int]:
    """The port at which each connection is given to `handler`, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=_handle, args=(handler, connection), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)


def _handle(handler: Handler, connection: socket.socket) -> None:
    with connection, suppress(OSError):
        handler(connection)


def tls(pair: Pair, folder: Path, then: Handler) -> Handler:
    """Serves TLS with this certificate, and gives what is inside it to `then`."""
    file = folder / f"{abs(hash(pair.certificate))}.pem"
    file.write_text(pair.key + pair.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            then(secure)

    return handle


def echo(connection: socket.socket) -> None:
    """Sends back what comes."""
    while data := connection.recv(65536):
        connection.sendall(data)


def proxy(answer: str, port: int, asked: list[str]) -> Handler:
    """Answers each request so; where that is 200, connects to `port` and passes on."""

    def handle(connection: socket.socket) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += connection.recv(4096)
        asked.append(request.decode())
        connection.sendall(answer.encode())
        if " 200 " not in answer:
            return
        with socket.create_connection(("127.0.0.1", port)) as onward:
            back = threading.Thread(target=_pour, args=(onward, connection), daemon=True)
            back.start()
            _pour(connection, onward)
            back.join()

    return handle


def _pour(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
