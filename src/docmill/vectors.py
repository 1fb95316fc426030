"""How vectors go to the database: as one array of all their numbers, in binary.

Written out as text, a vector took longer than all else that is kept of its passage. pgvector makes
a vector of an array, and a statement takes each one's stretch of a long one: `keep_embeddings`.
"""

import struct

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Buffer, Dumper
from psycopg.postgres import types
from psycopg.pq import Format

# PostgreSQL's binary form of an array: how many dimensions, whether there are nulls, the elements'
# type, length and lower bound of each dimension; then each element behind the number of its bytes.
HEADER = struct.Struct(">iiIii")
ELEMENT = np.dtype([("bytes", ">i4"), ("number", ">f4")])


class Numbers:
    """The numbers of several vectors, one vector behind the other; a `real[]` for the database."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.of = np.ascontiguousarray(vectors).ravel()


class NumbersDumper(Dumper):
    """For a placeholder `%b`."""

    format = Format.BINARY
    oid = types["float4"].array_oid

    def dump(self, obj: Numbers) -> Buffer:
        """The array in PostgreSQL's binary form."""
        elements = np.empty(obj.of.size, ELEMENT)
        elements["bytes"] = ELEMENT["number"].itemsize
        elements["number"] = obj.of
        return HEADER.pack(1, 0, types["float4"].oid, obj.of.size, 1) + elements.tobytes()


psycopg.adapters.register_dumper(Numbers, NumbersDumper)


def vector_literal(vector: NDArray[np.float32]) -> str:
    """One vector as pgvector reads it: `[0.1,0.2]`, with all the digits a float32 has."""
    shape = "[" + ",".join(["%.9g"] * len(vector)) + "]"
    return shape % tuple(vector.tolist())
