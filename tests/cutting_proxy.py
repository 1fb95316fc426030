"""A TCP proxy that cuts connections at the byte, on its way to the server, that it is told."""

import contextlib
import socket
import threading
import time
from collections import deque

READ_BYTES = 65_536


class CuttingProxy:
    """Passes on to one port. Each of `cuts` is for one connection: after so many bytes it is reset.

    `cut_after` cuts whichever connection comes to that byte of all together, once. `passed` counts
    what went to the server; `pause` seconds pass after each 64 KiB of it.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.cuts: deque[int | None] = deque()
        self.cut = 0
        self.passed = 0
        self.pause = 0.0
        self._cut_at: int | None = None
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

    def cut_after(self, size: int) -> None:
        """Cut the connection that sends the byte behind so many from now on."""
        self._cut_at = self.passed + size

    def _room(self, size: int, left: int | None) -> int:
        """How many of these bytes may pass."""
        room = size if left is None else min(size, left)
        if self._cut_at is not None and self.passed + room > self._cut_at:
            room, self._cut_at = self._cut_at - self.passed, None
        return room

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
            back = threading.Thread(target=_pass_back, args=[server, client], daemon=True)
            back.start()
            if self._forward(client, server, cut_at):
                self.cut += 1
                for end in (client, server):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            back.join()

    def _forward(self, client: socket.socket, server: socket.socket, cut_at: int | None) -> bool:
        """Pass on what the client sends; whether it was cut."""
        passed = 0
        with contextlib.suppress(OSError):
            while data := client.recv(READ_BYTES):
                room = self._room(len(data), None if cut_at is None else cut_at - passed)
                piece, whole = data[:room], room >= len(data)
                server.sendall(piece)
                passed += len(piece)
                self.passed += len(piece)
                if not whole:
                    _end(client, server)
                    return True
                time.sleep(self.pause)
        _end(client, server)
        return False


def _pass_back(server: socket.socket, client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := server.recv(READ_BYTES):
            client.sendall(data)
    _end(client, server)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
