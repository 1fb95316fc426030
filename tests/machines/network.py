"""A switch and machines at it, as network namespaces: each with an address and a name of its own.

Nothing of the real machine's network is touched: the switch lies in a namespace as well.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Self

ADDRESSES = "10.77.0"


def why_impossible() -> str | None:
    """Why no networks can be made here, in words; None where they can."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if shutil.which("ip") is None:
        return "no `ip` (Debian and Ubuntu: apt install iproute2)"
    name = f"docmill-{os.getpid()}-try"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if tried.returncode:
        return f"no network namespaces here: {tried.stderr.decode().strip()}"
    _ip("netns", "delete", name)
    return None


class Network:
    """For the length of a block: a switch with the address `hub`, and machines plugged into it."""

    def __init__(self) -> None:
        self._prefix = f"docmill-{os.getpid()}"
        self._names: list[str] = []
        self.hub = f"{ADDRESSES}.1"

    def __enter__(self) -> Self:
        hub = self._add("hub")
        _ip("-n", hub, "link", "add", "switch", "type", "bridge")
        _ip("-n", hub, "address", "add", f"{self.hub}/24", "dev", "switch")
        _ip("-n", hub, "link", "set", "switch", "up")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for name in self._names:
            _ip("netns", "delete", name)

    def plug(self, number: int) -> Sequence[str]:
        """Put a machine at the switch; the beginning of every command that runs on it."""
        machine, hub = self._add(f"machine-{number}"), self._names[0]
        wire = f"wire-{number}"
        _ip("-n", hub, "link", "add", wire, "type", "veth", "peer", "name", "eth0",
            "netns", machine)  # fmt: skip
        _ip("-n", hub, "link", "set", wire, "master", "switch", "up")
        _ip("-n", machine, "address", "add", f"{ADDRESSES}.{number + 1}/24", "dev", "eth0")
        _ip("-n", machine, "link", "set", "eth0", "up")
        named = f'hostname machine-{number} && exec "$@"'
        return (*self._on(machine), "unshare", "--uts", "sh", "-c", named, "sh")

    def on_hub(self) -> Sequence[str]:
        """The beginning of a command that runs at the switch's own address."""
        return self._on(self._names[0])

    def cut(self, number: int) -> None:
        """Pull the machine's wire: what it sends and what is sent to it is lost, without a word."""
        _ip("-n", self._names[0], "link", "set", f"wire-{number}", "down")

    def mend(self, number: int) -> None:
        """Put the wire back in."""
        _ip("-n", self._names[0], "link", "set", f"wire-{number}", "up")

    def _add(self, name: str) -> str:
        full = f"{self._prefix}-{name}"
        _ip("netns", "add", full)
        self._names.append(full)
        _ip("-n", full, "link", "set", "lo", "up")
        return full

    @staticmethod
    def _on(namespace: str) -> Sequence[str]:
        return ("ip", "netns", "exec", namespace)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
