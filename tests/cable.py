"""A cable between a browser and a server, which a test pulls out and plugs in again."""

import contextlib
import socket
import struct
import threading

READ_BYTES = 65_536
RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: what is on its way is lost


class Cable:
    """Listens on a port of its own and passes on to another, as long as it is plugged in."""

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connected: set[socket.socket] = set()
        self._plugged = True
        self._answers = True
        self._lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def pull(self) -> None:
        """Cut every connection, and let none come about."""
        with self._lock:
            self._plugged = False
            for end in self._connected:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def lose_answers(self) -> None:
        """Go on passing what the browser sends, and nothing of what comes back."""
        self._answers = False

    def plug(self) -> None:
        """Let connections come about again, and everything pass."""
        self._plugged = self._answers = True

    def close(self) -> None:
        """Pull it out for good."""
        self._listener.close()
        self.pull()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if not self._plugged:
                return
            with socket.create_connection(self._target) as server:
                with self._lock:
                    self._connected |= {client, server}
                there = threading.Thread(target=self._pass_on, args=[client, server], daemon=True)
                there.start()
                self._pass_on(server, client)
                there.join()
                with self._lock:
                    self._connected -= {client, server}

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(READ_BYTES):
                if self._answers or sink.getpeername() == self._target:
                    sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
