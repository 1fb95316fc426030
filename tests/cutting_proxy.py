"""A TCP proxy that cuts connections at the byte, on its way to the server, that it is told."""

import contextlib
import socket
import threading
from collections import deque


class CuttingProxy:
    """Passes on to one port. Each of `cuts` resets one connection after so many bytes."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.cuts: deque[int] = deque()
        self.cut = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        # Closing alone does not wake the thread that accepts, and the port would stay open.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            cut_at = self.cuts.popleft() if self.cuts else None
            threading.Thread(target=self._serve, args=[client, cut_at], daemon=True).start()

    def _serve(self, client: socket.socket, cut_at: int | None) -> None:
        try:
            server = socket.create_connection(self.target, 5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        with client, server:
            back = threading.Thread(target=_pass_on, args=[server, client], daemon=True)
            back.start()
            if _pass_on(client, server, cut_at):
                self.cut += 1
                for end in (client, server):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            back.join()


def _pass_on(source: socket.socket, sink: socket.socket, cut_at: int | None = None) -> bool:
    """Pass bytes on until one end is closed; whether that was a cut."""
    passed = 0
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            if cut_at is not None and passed + len(data) > cut_at:
                sink.sendall(data[: cut_at - passed])
                for end in (source, sink):
                    end.shutdown(socket.SHUT_RDWR)
                return True
            sink.sendall(data)
            passed += len(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    return False
