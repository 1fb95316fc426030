"""Secrets stay secret: whatever goes wrong, none stands in a log, an answer or a process list."""

import json
import secrets
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress

import psutil
import pytest
from psycopg.conninfo import conninfo_to_dict

from docmill.database import derived_password
from embedding_server import EmbeddingServer
from guarded import Guarded, guarded_docmill
from running import Started, until

SHORTEST = 15
# Always the same: it stands in the names of tests.
SECRET = "5d1c0a7fb3e94cc8a61e2d4b9f70c835a1e6b2d9"


def said(*command: str, env: Mapping[str, str]) -> str:
    """Everything that a command of docmill says."""
    started = Started(*command, env=env)
    started.wait()
    return "\n".join(started.said)


def processes(guarded: Guarded) -> str:
    """What a process list shows of docmill's processes."""
    served = psutil.Process(guarded.docmill.started.process.pid)
    shown = []
    for process in [served, *served.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            shown.append(" ".join([process.name(), *process.cmdline()]))
    assert len(shown) > 2
    return "\n".join(shown)


def ask_wrongly(guarded: Guarded, key: str) -> str:
    """Requests of many wrong kinds, each with the key in several places; all of their answers."""
    http = guarded.with_credential(key).http
    cookie = {"Cookie": f"docmill_session={key}"}
    tus = {"Tus-Resumable": "1.0.0"}
    answers = [
        http.get("/documents"),
        http.get(f"/documents/{key}"),
        http.get("/nowhere", headers=cookie),
        http.put("/documents"),
        http.post("/documents", content=b"x"),
        http.post("/documents", content=b"x", headers={"Content-Type": "multipart/form-data"}),
        http.post("/documents", files={"file": ("a\r.txt", b"x")}),
        http.post("/search", content=b"{", headers={"Content-Type": "application/json"}),
        http.post("/search", json={"query": "a", "limit": 0}),
        http.post("/uploads", headers={**tus, "Upload-Length": "-1"}),
        http.post("/operator/retry", json={}),
        http.post("/session", json={"key": key}),
        http.post("/session", json={"key": key + "x"}),
        guarded.with_credential(key[:-1]).http.get("/documents"),
        guarded.with_credential(key + ".a.b").http.get("/documents"),
        guarded.with_credential(None).http.get("/documents", headers=cookie),
    ]
    assert {answer.status_code for answer in answers} >= {200, 401, 403, 404, 405, 415, 422}
    return "\n".join(f"{answer.headers} {answer.text}" for answer in answers)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_is_shown_whatever_goes_wrong(admin_url: str, log_format: str) -> None:
    with ExitStack() as stack:
        service = stack.enter_context(EmbeddingServer())
        embed_key, jwt_secret = f"sk-{secrets.token_hex(20)}", secrets.token_hex(20)
        complaint = json.dumps({"error": f"Incorrect API key provided: {embed_key}."}).encode()
        service.mood = lambda _: (401, {}, complaint)
        hidden = {"DOCMILL_EMBED_API_KEY": embed_key, "DOCMILL_JWT_SECRET": jwt_secret}
        env = {**service.settings, **hidden, "DOCMILL_LOG_LEVEL": "debug"}
        env["DOCMILL_LOG_FORMAT"] = log_format
        guarded = stack.enter_context(
            guarded_docmill(admin_url, None, sys.executable, anew=True, **env)
        )
        made = guarded.key("somebody")
        document = guarded.with_credential(made.text).upload("a.txt", b"the lighthouse")
        status = f"/documents/{document}/status"
        http = guarded.with_credential(made.text).http
        until(lambda: http.get(status).json()["error"], "the embedder refuses docmill's key")
        shown = {
            "answers": ask_wrongly(guarded, made.text),
            "status": http.get(status).text + http.get(f"/documents/{document}/jobs").text,
            "processes": processes(guarded),
        }
        env["DOCMILL_DATABASE_URL"] = guarded.url
        for command in (("doctor",), ("doctor", "--json"), ("keys", "list"), ("migrate",)):
            shown[" ".join(command)] = said(*command, env=env)
        assert "(set)" in shown["doctor"]
        guarded.admin.execute("drop table docmill.chunks cascade")  # a mistake of docmill's own
        assert http.post("/search", json={"query": "a", "mode": "text"}).status_code == 500
        guarded.docmill.started.says("a request failed")  # the log comes over a pipe of its own
        shown["log"] = "\n".join(guarded.docmill.started.said)
        passwords = [derived_password(guarded.url, f"docmill_{role}") for role in ("api", "worker")]
        # A password such as `postgres` stands everywhere; the embedded server's is a good one.
        own = str(conninfo_to_dict(admin_url).get("password", ""))
        passwords += [own] if len(own) > SHORTEST else []
        for secret in (embed_key, jwt_secret, made.text.split("_", 2)[2], *passwords):
            assert secret
            assert [where for where, text in shown.items() if secret in text] == []


@pytest.mark.parametrize(
    "address",
    [
        f"host=127.0.0.1 {SECRET}",
        f"host=127.0.0.1 password='{SECRET}",
        f"postgresql://u:%zz{SECRET}@127.0.0.1/x",
        f"postgresql://u:{SECRET}@127.0.0.1:{SECRET}/x",
        f"postgresql://u:a/{SECRET}@127.0.0.1/x",
        f"postgresql://u:a@{SECRET}@127.0.0.1/x",
        f"postgresql://u:a@{SECRET}:5432@127.0.0.1/x",
        f"postgresql://u:a@127.0.0.1/x?{SECRET}={SECRET}",
        f"postgresql://u:{SECRET}@127.0.0.1:1/x",
        f"mysql://u:{SECRET}@127.0.0.1/x",
        SECRET,
    ],
)
def test_address_that_is_wrong_is_not_repeated(address: str) -> None:
    for command in (("doctor",), ("serve", "--port", "0")):
        text = said(*command, env={"DOCMILL_DATABASE_URL": address})
        assert SECRET not in text
        assert "Traceback" not in text
        assert text


@pytest.mark.parametrize("name", ["DOCMILL_JWT_SECRET", "DOCMILL_EMBED_API_KEY"])
def test_secret_that_is_wrong_is_not_repeated(name: str) -> None:
    env = {"DOCMILL_AUTH": "jwt", "DOCMILL_JWT_ISSUER": "x", name: "short-Secret"}
    assert "short-Secret" not in said("doctor", env=env)
