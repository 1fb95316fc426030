"""The limit of a request: one route, one statement, its answer as JSON.

    python bench/bare_route.py DATABASE_ADDRESS

The same framework, server and driver as docmill's. A status is one SELECT by primary key: no owner,
no row-level security, no state, no ETag. An upload is one INSERT of the bytes: no digest, no
document, no job. Prints its address, and ends with its standard input.
"""

import os
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import uvicorn
from fastapi import FastAPI, UploadFile
from fastapi.responses import JSONResponse
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

SELECT = """select id::text as document_id, filename, status, stage, version, pages_done,
                   pages_total, chunks_done, chunks_total, embedded_done
            from docmill.documents where id = %s"""
INSERT = "insert into public.bench_files (data) values (%b) returning id"

pool = AsyncConnectionPool(
    sys.argv[1], kwargs={"row_factory": dict_row}, min_size=1, max_size=10, open=False
)


@asynccontextmanager
async def connected(_: FastAPI) -> AsyncIterator[None]:
    """The pool is open as long as the application is."""
    async with pool:
        yield


app = FastAPI(lifespan=connected)


@app.get("/documents/{document_id}/status")
async def status(document_id: UUID) -> JSONResponse:
    """The document's row."""
    async with pool.connection() as connection:
        cursor = await connection.execute(SELECT, [document_id])
        return JSONResponse(await cursor.fetchone())


@app.post("/documents", status_code=202)
async def upload(file: UploadFile) -> JSONResponse:
    """The file's bytes in one row."""
    content = await file.read()
    async with pool.connection() as connection:
        cursor = await connection.execute(INSERT, [content])
        return JSONResponse(await cursor.fetchone(), 202)


def end_with_stdin() -> None:
    """End when whoever started this is gone."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_stdin, daemon=True).start()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    server = uvicorn.Server(uvicorn.Config(app, http="h11", log_level="warning", access_log=False))
    server.run(sockets=[listener])
