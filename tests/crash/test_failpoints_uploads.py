"""Commits on the way of resumable uploads and repeated requests, struck as all others are.

Here the client goes on by itself: whatever it was told is true, and in the end there is one
document with the very bytes.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx2
import pytest

from docmill.failpoint import ACTIONS, MOMENTS, ApiCommit
from faults import KEY_COMMITS, UPLOAD_COMMITS, Fault, Scene, new_scene
from running import SERVES, Started, until
from tus_client import TUS, TusClient

SIZE = 3 * (1 << 20) + 77
SLICE_BYTES = (1 << 20) + 99


class Server:
    """A server in which a fault happens, and the one that takes its place."""

    def __init__(self, scene: Scene, fault: Fault) -> None:
        self._env = {"DOCMILL_DATABASE_URL": scene.url}
        self._started = self._start({"DOCMILL_FAILPOINT": str(fault)})
        self._fault = fault

    def _start(self, env: dict[str, str]) -> Started:
        started = Started("serve", "--port", "0", "--workers", "0", env={**self._env, **env})
        self._url = started.says(SERVES.pattern)[1]
        return started

    def url(self) -> str:
        if self._started.process.poll() is not None:
            self._started.wait()
            self._started = self._start({})
        return self._url

    def struck(self) -> bool:
        """Whether the fault has happened; a frozen process is let go on."""
        happened = any("failpoint" in line for line in self._started.said)
        if happened and self._fault.action == "freeze":
            self._started.go_on()
        return happened

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._started.process.pid, signal.SIGCONT)
        if self._started.process.poll() is None:
            self._started.terminate()


@contextlib.contextmanager
def struck(scene: Scene, fault: Fault) -> Iterator[Server]:
    server = Server(scene, fault)
    try:
        with ThreadPoolExecutor(1) as watching:
            seen = watching.submit(until, lambda: server.struck() or None, f"{fault} is reached")
            yield server
            seen.result()
    finally:
        server.stop()


def kept(scene: Scene, name: str) -> list[tuple[str, bytes, int]]:
    """The documents of that name: id, bytes, number of jobs."""
    rows = scene.admin.execute(
        """select d.id::text, (select string_agg(p.data, ''::bytea order by p.position)
                               from file_parts p where p.file_id = d.file_id) as data,
             (select count(*) from processing_jobs j where j.document_id = d.id) as jobs
           from documents d where d.filename = %s""",
        [name],
    ).fetchall()
    return [(row["id"], bytes(row["data"]), row["jobs"]) for row in rows]


def uploaded(scene: Scene, fault: Fault) -> None:
    content, name = os.urandom(SIZE), f"{uuid4().hex}.bin"
    with struck(scene, fault) as server:
        client = TusClient(server.url, content, name, SLICE_BYTES)
        document_id = client.send()
        until(lambda: ended(server) or None, "an upload that is given up is gone")
    assert kept(scene, name) == [(document_id, content, 1)], f"after {fault}"


def ended(server: Server) -> bool:
    """Begin an upload, give it up, and see it gone."""
    try:
        url = server.url()
        begun = httpx2.post(f"{url}/uploads", headers={**TUS, "Upload-Length": "9"}, timeout=30)
        if begun.status_code != 201:
            return False
        where = url + begun.headers["location"]
        httpx2.delete(where, headers=TUS, timeout=30)
        # After a lost answer the client deletes again: 204 or 404, it is gone.
        again = httpx2.delete(server.url() + begun.headers["location"], headers=TUS, timeout=30)
    except httpx2.HTTPError:
        return False
    return again.status_code in {204, 404}


@pytest.mark.parametrize("commit", sorted(UPLOAD_COMMITS))
def test_upload_struck_at_a_commit_ends_as_one_document_with_its_bytes(
    admin_url: str, commit: ApiCommit
) -> None:
    faults = [Fault(commit, moment, action) for moment in MOMENTS for action in ACTIONS]
    with new_scene(admin_url) as scene:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda fault: uploaded(scene, fault), faults))
        assert scene.one("select count(*) as n from uploads where document_id is not null") == {
            "n": len(faults)
        }
        scene.admin.execute("update uploads set expires_at = now() - interval '1 second'")
        with scene.healthy_worker():
            until(lambda: nothing_left_over(scene) or None, "what was left over is pruned")


def nothing_left_over(scene: Scene) -> bool:
    row = scene.one(
        "select (select count(*) from uploads) + (select count(*) from files f"
        " where not exists (select from documents d where d.file_id = f.id)) as left_over"
    )
    return bool(row["left_over"] == 0)


def repeated(scene: Scene, fault: Fault) -> None:
    content, name = os.urandom(1000), f"{uuid4().hex}.bin"
    key = uuid4().hex
    with struck(scene, fault) as server:

        def sent(data: bytes) -> httpx2.Response | None:
            try:
                answer = httpx2.post(
                    f"{server.url()}/documents",
                    files={"file": (name, data)},
                    headers={"Idempotency-Key": key},
                    timeout=30,
                )
            except httpx2.HTTPError:
                return None
            if answer.status_code == 409:  # of a request that died: here nobody waits two minutes
                scene.admin.execute("update idempotent_requests set until = now()"
                                    " where key = %s", [key])  # fmt: skip
            return answer if answer.status_code < 500 and answer.status_code != 409 else None

        refused = until(lambda: sent(b""), "an empty file is refused")
        assert refused.json()["code"] == "FILE_EMPTY"
        first = until(lambda: sent(content), "the file is taken")
        again = until(lambda: sent(content), "and again")
    assert (first.status_code, again.json()) == (202, first.json())
    assert kept(scene, name) == [(first.json()["document_id"], content, 1)], f"after {fault}"


@pytest.mark.parametrize("commit", sorted(KEY_COMMITS))
def test_repeated_request_struck_at_a_commit_is_done_once(
    admin_url: str, commit: ApiCommit
) -> None:
    faults = [Fault(commit, moment, action) for moment in MOMENTS for action in ACTIONS]
    with new_scene(admin_url) as scene, ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda fault: repeated(scene, fault), faults))
