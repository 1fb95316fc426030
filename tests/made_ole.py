"""OLE containers ([MS-CFB], version 3), which old office files and locked ones are."""

import struct

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
SECTOR = 512
SHORTEST_STREAM = 4096  # below, streams lie in a table of their own
END_OF_CHAIN, FREE, TABLE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
ROOT, STREAM = 5, 2


def ole(streams: dict[str, bytes]) -> bytes:
    """A container with up to three streams at its top; short ones are filled up with zeros."""
    ordered = sorted(streams.items(), key=lambda item: (len(item[0]), item[0].upper()))
    chains, sectors, entries = [END_OF_CHAIN], b"", [entry("Root Entry", ROOT, END_OF_CHAIN, 0, 1)]
    for number, (name, data) in enumerate(ordered, start=1):
        padded = data.ljust(SHORTEST_STREAM, b"\0")
        following = number + 1 if number < len(ordered) else FREE
        entries.append(entry(name, STREAM, len(chains), len(padded), right=following))
        count = -(-len(padded) // SECTOR)
        chains += [*range(len(chains) + 1, len(chains) + count), END_OF_CHAIN]
        sectors += padded.ljust(count * SECTOR, b"\0")
    directory = b"".join(entries).ljust(SECTOR, b"\0")
    return header(len(chains)) + directory + sectors + table(chains)


def header(sectors: int) -> bytes:
    """The first sector: where the directory (sector 0) and the table are."""
    tables = tables_for(sectors)
    facts = struct.pack("<5H", 0x3E, 3, 0xFFFE, 9, 6) + bytes(10)
    places = struct.pack("<8I", tables, 0, 0, SHORTEST_STREAM, END_OF_CHAIN, 0, END_OF_CHAIN, 0)
    listed = [*range(sectors, sectors + tables), *[FREE] * (109 - tables)]
    return MAGIC + bytes(16) + facts + places + struct.pack("<109I", *listed)


def tables_for(sectors: int) -> int:
    """How many sectors the table of all sectors takes, itself among them."""
    return -(-sectors // (SECTOR // 4 - 1))


def table(chains: list[int]) -> bytes:
    """Which sector follows which."""
    tables = tables_for(len(chains))
    whole = [*chains, *[TABLE] * tables]
    whole += [FREE] * (tables * SECTOR // 4 - len(whole))
    return struct.pack(f"<{len(whole)}I", *whole)


def entry(
    name: str, kind: int, start: int, size: int, child: int = FREE, *, right: int = FREE
) -> bytes:
    """128 bytes of the directory."""
    encoded = (name + "\0").encode("utf-16-le")
    head = encoded.ljust(64, b"\0") + struct.pack(
        "<HBB3I", len(encoded), kind, 1, FREE, right, child
    )
    return head + bytes(36) + struct.pack("<IQ", start, size)
