"""A TCP proxy with bad days: it cuts a connection at some byte, slows it down, or lets it hang."""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable

READ_BYTES = 16_384
HANGS_SECONDS = 3.0
# Of a hundred connections so many are cut, slow, and half-open.
CUT, SLOW, HALF_OPEN = 6, 6, 2


class Proxy:
    """Listens on a port of its own and passes on to another; what it does is told by its seed."""

    def __init__(self, target_port: int, rng: random.Random, told: Callable[[str], None]) -> None:
        self._target = ("127.0.0.1", target_port)
        self._rng = rng
        self._told = told
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.calm = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        day = 100 if self.calm else self._rng.randrange(100)
        at = self._rng.randrange(200_000) if day < CUT else None
        slow = CUT <= day < CUT + SLOW
        hangs_at = (
            self._rng.randrange(20_000) if CUT + SLOW <= day < CUT + SLOW + HALF_OPEN else None
        )
        try:
            server = socket.create_connection(self._target, 5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        back = threading.Thread(
            target=self._pass_on, args=[server, client, at, hangs_at, slow], daemon=True
        )
        back.start()
        self._pass_on(client, server, at, hangs_at, slow)
        back.join()
        client.close()
        server.close()

    def _pass_on(
        self,
        source: socket.socket,
        sink: socket.socket,
        cut_at: int | None,
        hangs_at: int | None,
        slow: bool,
    ) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(READ_BYTES):
                passed += len(data)
                if cut_at is not None and passed > cut_at:
                    self._told("proxy cuts")
                    break
                if hangs_at is not None and passed > hangs_at:
                    self._told("proxy hangs")
                    time.sleep(HANGS_SECONDS)
                    break
                if slow:
                    time.sleep(0.02)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
