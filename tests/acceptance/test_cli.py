"""The commands that a user types, as started programs: what they print and how they exit."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from cutting_proxy import CuttingProxy
from docmill import __version__
from guarded import guarded_docmill
from running import Docmill, Started, until

MIB = 1 << 20


@pytest.fixture
def run(docmill: Docmill, tmp_path: Path) -> "Run":
    return Run(docmill.url, tmp_path)


class Run:
    """Runs `docmill` as a user of a served docmill, with a key where one is named."""

    def __init__(self, url: str, folder: Path, key: str = "") -> None:
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("DOCMILL_")},
            "DOCMILL_URL": url,
            "DOCMILL_API_KEY": key,
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "docmill", *arguments],
            env=self.env, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip


def file(folder: Path, content: bytes, name: str = "") -> Path:
    path = folder / (name or f"{uuid4().hex}.txt")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_file_is_uploaded_followed_shown_and_found(run: Run, tmp_path: Path) -> None:
    said = uuid4().hex
    path = file(tmp_path, f"{said} in a bottle".encode())
    sent = run("upload", "--wait", str(path))
    assert sent.returncode == 0, sent.stderr
    lines = sent.stdout.splitlines()
    assert f"{path}: accepted; the rest happens in the background (0 %)" in lines
    assert f"{path}: searchable (100 %)" in lines
    document_id = lines[-1].split()[0]
    shown = run("status", document_id)
    assert "completed, 100 %: searchable" in shown.stdout
    assert "embed" in shown.stdout
    found = run("search", said)
    assert found.stdout.startswith(f"1. {path.name}  page 1")
    assert "in a bottle" in found.stdout
    listed = run("list", "--limit", "200")
    assert document_id in listed.stdout


def test_scripts_get_a_json_object_per_line(run: Run, tmp_path: Path) -> None:
    paths = [file(tmp_path, uuid4().bytes * 9) for _ in range(3)]
    sent = run("upload", "--json", "--wait", *map(str, paths))
    rows = [json.loads(line) for line in sent.stdout.splitlines()]
    assert [row["file"] for row in rows] == [str(path) for path in paths]
    assert {row["done"] for row in rows} == {True}
    document_id = rows[0]["document_id"]
    assert json.loads(run("status", "--json", document_id).stdout)["document_id"] == document_id
    deleted = run("delete", "--json", document_id)
    assert json.loads(deleted.stdout) == {"document_id": document_id, "deleted": True}
    gone = run("status", document_id)
    assert (gone.returncode, gone.stderr) == (
        1, "docmill: There is no such document. (NOT_FOUND)\n",
    )  # fmt: skip


def test_bad_file_is_named_and_the_others_go_on(run: Run, tmp_path: Path) -> None:
    good, empty = file(tmp_path, uuid4().bytes * 9), file(tmp_path, b"")
    missing = tmp_path / "missing.pdf"
    sent = run("upload", str(empty), str(good), str(missing), str(tmp_path))
    assert sent.returncode == 1
    assert str(good) in sent.stdout
    assert f"{empty}: It is empty." in sent.stderr
    assert f"{missing}: There is no such file." in sent.stderr
    assert f"{tmp_path}: It is a folder; --recursive takes the files below it." in sent.stderr


def test_document_that_fails_makes_the_command_fail_with_its_reason(
    run: Run, tmp_path: Path
) -> None:
    noise = file(tmp_path, os.urandom(900), "noise.bin")
    sent = run("upload", "--wait", str(noise))
    assert sent.returncode == 1
    assert "failed: Its content is no kind of document" in sent.stdout
    document_id = sent.stdout.splitlines()[-1].split()[0]
    retried = run("retry", document_id)
    assert retried.returncode == 0


def test_folder_is_uploaded_with_all_that_is_below(run: Run, tmp_path: Path) -> None:
    for number in range(30):
        file(tmp_path / "docs", uuid4().hex.encode(), f"{number % 3}/{number}.txt")
    collection = uuid4().hex
    sent = run("upload", "-r", "--collection", collection, str(tmp_path / "docs"))
    assert sent.returncode == 0, sent.stderr
    listed = run("list", "--collection", collection, "--limit", "100", "--json")
    assert len(listed.stdout.splitlines()) == 30


def test_new_version_of_a_file_replaces_the_old_one(run: Run, tmp_path: Path) -> None:
    mine = uuid4().hex
    path, ids = tmp_path / "a.txt", set()
    for version in range(2):
        path.write_bytes(f"{uuid4().hex} version {version}".encode())
        sent = run("upload", "--wait", "--json", "--external-id", mine, str(path))
        ids.add(json.loads(sent.stdout)["document_id"])
    assert len(ids) == 1
    two = run("upload", "--external-id", mine, str(path), str(path))
    assert two.returncode == 2
    assert "--external-id names one document" in two.stderr


def test_upload_that_was_killed_goes_on_with_the_same_command(
    run: Run, docmill: Docmill, tmp_path: Path
) -> None:
    host, port = docmill.url.removeprefix("http://").split(":")
    proxy = CuttingProxy((host, int(port)))
    proxy.cuts.extend([18 * MIB, *[0] * 1000])
    content = os.urandom(30 * MIB)
    path = file(tmp_path, content, "big.bin")
    env = {**run.env, "DOCMILL_URL": proxy.url}
    first = Started("upload", str(path), env=env)
    first.says("the server is away, trying again")
    first.process.send_signal(signal.SIGKILL)
    first.wait()
    assert docmill.http.get("/documents").json()["documents"][0]["filename"] != "big.bin"
    proxy.cuts.clear()
    run.env["DOCMILL_URL"] = proxy.url
    second = run("upload", "--json", str(path))
    assert second.returncode == 0, second.stderr
    document_id = json.loads(second.stdout)["document_id"]
    assert docmill.http.get(f"/documents/{document_id}/content").content == content
    proxy.close()


def test_server_that_stays_away_is_told_with_what_is_there(
    run: Run, docmill: Docmill, tmp_path: Path
) -> None:
    host, port = docmill.url.removeprefix("http://").split(":")
    proxy = CuttingProxy((host, int(port)))
    proxy.cuts.extend([18 * MIB, *[0] * 1000])
    run.env["DOCMILL_URL"] = proxy.url
    sent = run("upload", "--patience", "0", str(file(tmp_path, os.urandom(30 * MIB), "big.bin")))
    assert sent.returncode == 69
    assert "MB are there; the same command goes on from there." in sent.stderr
    proxy.close()


def test_interrupted_waiting_says_that_the_work_goes_on(run: Run, tmp_path: Path) -> None:
    path = file(tmp_path, b"".join(os.urandom(9).hex().encode() + b"\n" for _ in range(200_000)))
    sending = Started("upload", "--wait", str(path), env=run.env)
    sending.says("accepted")
    sending.process.send_signal(signal.SIGINT)
    status = sending.wait()
    assert status in {0, 130}  # it may have been done just then
    if status == 130:
        assert any("goes on in the background" in line for line in sending.said)


def test_cancel_and_reprocess_are_asked_from_the_shell(
    run: Run, docmill: Docmill, tmp_path: Path
) -> None:
    path = file(tmp_path, uuid4().bytes * 9)
    document_id = json.loads(run("upload", "--wait", "--json", str(path)).stdout)["document_id"]
    assert run("reprocess", document_id).returncode == 0
    until(lambda: docmill.status(document_id)["done"], "it is read anew")
    assert docmill.status(document_id)["generation"] == 2
    assert "cancel" in run("cancel", "--help").stdout.lower()
    assert run("cancel", document_id).returncode == 0


def test_nobody_at_the_address_is_one_sentence(run: Run) -> None:
    run.env["DOCMILL_URL"] = "http://127.0.0.1:9"
    for command in (["list"], ["status", str(uuid4())], ["search", "x"]):
        ended = run(*command)
        assert ended.returncode == 69
        assert ended.stderr.startswith("docmill: Nothing answers at http://127.0.0.1:9")
        assert len(ended.stderr.splitlines()) == 1


def test_help_names_every_command_and_the_version_is_told(run: Run) -> None:
    text = run("--help").stdout
    for command in ("serve", "worker", "upload", "status", "search", "retry", "cancel", "doctor"):
        assert f"  {command} " in text
    assert run("--version").stdout == f"docmill, version {__version__}\n"


def test_a_key_in_the_environment_opens_what_asks_for_one(admin_url: str, tmp_path: Path) -> None:
    path = file(tmp_path, b"behind the door")
    with guarded_docmill(admin_url) as guarded:
        known = Run(guarded.docmill.url, tmp_path, guarded.key("somebody").text)
        assert known("upload", "--wait", str(path)).returncode == 0
        assert path.name in known("list").stdout
        for key in ("", "dm_0000000000000000_unknown"):
            stranger = Run(guarded.docmill.url, tmp_path, key)
            for command in (["list"], ["upload", str(path)]):
                refused = stranger(*command)
                assert refused.returncode == 1
                said = refused.stdout + refused.stderr
                assert "DOCMILL_API_KEY holds the key or token that is shown" in said
    broken = Run(guarded.docmill.url, tmp_path, "Bearer dm_1")("list")
    assert broken.returncode == 2
    assert "DOCMILL_API_KEY is no key and no token" in broken.stderr
