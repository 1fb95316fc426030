"""Who may use docmill: keys, tokens, browsers' sessions, and everything that is none of these."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from docmill import api_keys
from docmill.identity import SCOPES
from guarded import Guarded, guarded_docmill
from identity_provider import ISSUER, SECRET
from running import Docmill, Started, until


@pytest.fixture(scope="module")
def guarded(admin_url: str) -> Iterator[Guarded]:
    with guarded_docmill(admin_url) as served:
        yield served


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


NOBODY = (401, "NOT_AUTHENTICATED")
NOBODYS = "00000000-0000-4000-8000-00000000dead"


# keys ------------------------------------------------------------------------------------


def test_key_opens_what_its_owner_has(guarded: Guarded) -> None:
    somebody = guarded.somebody()
    document = somebody.upload("a.txt", b"the key opens the door")
    assert somebody.completed(document)["status"] == "completed"
    assert somebody.http.post("/search", json={"query": "door"}).json()["hits"]


def test_without_a_key_nothing_but_the_page_and_the_probes_is_answered(guarded: Guarded) -> None:
    stranger = guarded.with_credential(None).http
    described = guarded.somebody("read").http.get("/openapi.json").json()
    for path, verbs in described["paths"].items():
        for verb in verbs:
            answer = stranger.request(verb.upper(), path.replace("{", "").replace("}", ""))
            if path in {"/", "/operator", "/healthz", "/readyz", "/session"} or "/page/" in path:
                assert answer.status_code != 401, path
            else:
                assert verb == "head" or code_of(answer) == NOBODY, (verb, path)
                assert answer.status_code == NOBODY[0], (verb, path)
                assert answer.headers["www-authenticate"] == 'Bearer realm="docmill"'
    assert code_of(stranger.get("/openapi.json")) == NOBODY
    assert code_of(stranger.get("/nowhere")) == NOBODY


def test_refusal_of_a_large_upload_is_heard(guarded: Guarded) -> None:
    stranger = guarded.with_credential(None).http
    answer = stranger.post("/documents", files={"file": ("big.bin", b"x" * (20 << 20))})
    assert code_of(answer) == NOBODY


@pytest.mark.parametrize(
    "credential",
    [
        "dm_aaaaaaaaaaaaaaaa_" + "A" * 43,
        "dm_short_key",
        "Basic dXNlcjpwYXNz",
        "null",
        "x" * 10_000,
        "a.b.c",
    ],
)
def test_what_is_no_key_opens_nothing(guarded: Guarded, credential: str) -> None:
    assert code_of(guarded.with_credential(credential).http.get("/documents")) == NOBODY


def test_right_id_with_a_wrong_secret_opens_nothing(guarded: Guarded) -> None:
    good, other = guarded.key("a"), guarded.key("b")
    mixed = f"dm_{good.id}_{other.text.split('_', 2)[2]}"
    assert code_of(guarded.with_credential(mixed).http.get("/documents")) == NOBODY


def test_secret_is_nowhere_in_the_database_nor_in_the_log(guarded: Guarded) -> None:
    made = guarded.key("a")
    assert guarded.with_credential(made.text).http.get("/documents").status_code == 200
    secret = made.text.split("_", 2)[2]
    rows = guarded.admin.execute("select t::text as row from api_keys t").fetchall()
    assert rows
    assert all(secret not in row["row"] for row in rows)
    assert secret not in "\n".join(guarded.docmill.started.said)


def test_expired_key_opens_nothing(guarded: Guarded) -> None:
    made = guarded.key("a", lasts=timedelta(seconds=-1))
    assert code_of(guarded.with_credential(made.text).http.get("/documents")) == NOBODY


def test_revoked_key_ends_within_seconds_and_its_sessions_with_it(guarded: Guarded) -> None:
    made = guarded.key("a")
    by_key = guarded.with_credential(made.text).http
    browser = guarded.with_credential(None).http
    assert browser.post("/session", json={"key": made.text}).status_code == 200
    assert by_key.get("/documents").status_code == browser.get("/documents").status_code == 200
    assert api_keys.revoke(guarded.admin, made.id)
    assert code_of(browser.get("/documents")) == NOBODY
    until(lambda: by_key.get("/documents").status_code == 401, "the key is forgotten")
    assert not api_keys.revoke(guarded.admin, made.id)


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/documents", "read"),
        ("GET", "/collections", "read"),
        ("GET", "/openapi.json", "read"),
        ("POST", "/search", "read"),
        ("POST", "/documents", "upload"),
        ("POST", "/upload-document-backend", "upload"),
        ("POST", "/uploads", "upload"),
        ("HEAD", f"/uploads/{NOBODYS}", "upload"),
        ("DELETE", f"/documents/{NOBODYS}", "upload"),
        ("POST", f"/documents/{NOBODYS}/retry", "upload"),
        ("GET", "/operator/overview", "admin"),
        ("POST", "/operator/stages/parse", "admin"),
        ("POST", "/internal/tick", "tick"),
        ("GET", "/metrics", "metrics"),
    ],
)
def test_each_request_takes_its_scope_and_no_other(
    guarded: Guarded, method: str, path: str, needed: str
) -> None:
    for scope in SCOPES:
        answer = guarded.somebody(scope).http.request(method, path, json={})
        if scope == needed:
            assert answer.status_code not in {401, 500}
            assert '"code":"SCOPE_MISSING"' not in answer.text
        elif method == "HEAD":
            assert answer.status_code == 403
        else:
            assert code_of(answer) == (403, "SCOPE_MISSING")
            assert f"`{needed}`" in answer.json()["detail"]


def test_admin_who_may_not_change_things_may_look_only(guarded: Guarded) -> None:
    looks = guarded.somebody("admin").http
    assert looks.get("/operator/overview").json()["may_act"] is False
    assert code_of(looks.post("/operator/retry", json={"code": "X", "stage": "parse"})) == (
        403,
        "OPERATOR_REQUIRED",
    )
    acts = guarded.somebody("admin", "upload").http
    assert acts.get("/operator/overview").json()["may_act"] is True
    assert acts.post("/operator/stages/parse", json={"paused": False}).status_code == 200
    (newest, *_) = acts.get("/operator/overview").json()["actions"]
    assert newest["operator"].startswith("key ")


def test_use_of_a_key_is_noted(admin_url: str) -> None:
    with guarded_docmill(admin_url) as served:
        made = served.key("a")
        http = served.with_credential(made.text).http
        for _ in range(3):
            http.get("/documents")
        served.docmill.stop()
        (key,) = api_keys.list_keys(served.admin)
    assert (key["uses"], key["last_used_from"]) == (3, "127.0.0.1")
    assert key["last_used_at"] is not None


def test_keys_are_made_listed_and_revoked_from_the_shell(guarded: Guarded) -> None:
    env = {"DOCMILL_DATABASE_URL": guarded.url}

    def said(*arguments: str, status: int = 0) -> str:
        command = Started("keys", *arguments, env=env)
        assert command.wait() == status, command.said
        return "\n".join(command.said)

    made = json.loads(
        said("create", "--owner", "from a shell", "--scope", "read", "--expires", "90d", "--json")
    )
    http = guarded.with_credential(made["key"]).http
    assert http.get("/documents").status_code == 200
    listed = [json.loads(line) for line in said("list", "--json").splitlines()]
    (mine,) = [key for key in listed if key["id"] == made["id"]]
    assert (mine["owner_name"], mine["scopes"], mine["state"]) == ("from a shell", ["read"], "good")
    assert "is revoked" in said("revoke", made["id"])
    assert "docmill keys list" in said("revoke", made["id"], status=1)
    assert "no scope" in said("create", "--owner", "x", "--scope", "all", status=2)


# tokens ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kid", ["elliptic", "rsa", None])
def test_token_of_the_provider_opens_what_its_user_has(guarded: Guarded, kid: str | None) -> None:
    user = str(uuid4())
    somebody = guarded.with_credential(guarded.provider.token(user, kid))
    document = somebody.upload("a.txt", uuid4().bytes.hex().encode())
    row = guarded.admin.execute("select owner_id from documents where id = %s", [document])
    assert str((row.fetchone() or {})["owner_id"]) == user
    assert code_of(somebody.http.get("/operator/overview")) == (403, "SCOPE_MISSING")


def test_scopes_come_from_what_only_the_providers_administrators_write(guarded: Guarded) -> None:
    given = {"docmill_scopes": ["read", "admin", "everything"]}
    token = guarded.provider.token(str(uuid4()), app_metadata=given)
    http = guarded.with_credential(token).http
    assert http.get("/session").json()["scopes"] == ["admin", "read"]
    token = guarded.provider.token(str(uuid4()), user_metadata=given)
    http = guarded.with_credential(token).http
    assert http.get("/session").json()["scopes"] == ["read", "upload"]


def unsigned(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, "", "none")


def by_public_key(guarded: Guarded, claims: dict[str, Any]) -> str:
    """HS256 with the public key as the secret: good where a token chooses its algorithm."""
    public = guarded.provider.keys["rsa"].public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    head = part(json.dumps({"alg": "HS256", "kid": "rsa", "typ": "JWT"}).encode())
    signed = f"{head}.{part(json.dumps(claims).encode())}"
    return f"{signed}.{part(hmac.digest(pem, signed.encode(), hashlib.sha256))}"


def test_forged_tokens_open_nothing(guarded: Guarded) -> None:
    user, provider = str(uuid4()), guarded.provider
    good = {
        "sub": user,
        "iss": ISSUER,
        "aud": "authenticated",
        "role": "authenticated",
        "exp": int(time.time()) + 600,
    }
    stranger = ec.generate_private_key(ec.SECP256R1())
    signed = provider.token(user)
    forged = {
        "unsigned": unsigned(good),
        "public key as secret": by_public_key(guarded, good),
        "a stranger's key": jwt.encode(good, stranger, "ES256", headers={"kid": "elliptic"}),
        "a shared secret out of the JWKS": jwt.encode(
            good, "secret-that-is-public-and-rather-long", "HS256", headers={"kid": "shared"}
        ),
        "another secret": provider.token(user, None, secret="another secret, long enough to use"),
        "another kid": jwt.encode(good, stranger, "ES256", headers={"kid": "unknown"}),
        "expired": provider.token(user, exp=int(time.time()) - 120),
        "not yet": provider.token(user, nbf=int(time.time()) + 600),
        "no end": provider.token(user, exp=None),
        "another issuer": provider.token(user, iss="https://evil.example/auth/v1"),
        "no issuer": provider.token(user, iss=None),
        "another audience": provider.token(user, aud="anon"),
        "no audience": provider.token(user, aud=None),
        "another role": provider.token(user, role="anon"),
        "service role": provider.token(user, role="service_role"),
        "no subject": provider.token(user, sub=None),
        "subject is no uuid": provider.token("admin' or true"),
        "cut": signed[:-8],
        "changed": signed[:-12] + "AAAA" + signed[-8:],
    }
    for name, token in forged.items():
        answer = guarded.with_credential(token).http.get("/documents")
        assert code_of(answer) == NOBODY, name
        assert SECRET not in answer.text


def test_unknown_keys_do_not_make_docmill_ask_the_provider_again_and_again(
    guarded: Guarded,
) -> None:
    known = guarded.with_credential(guarded.provider.token(str(uuid4()))).http
    assert known.get("/documents").status_code == 200
    before = guarded.provider.asked
    stranger = ec.generate_private_key(ec.SECP256R1())
    for n in range(10):
        claims = {"sub": str(uuid4()), "exp": int(time.time()) + 60}
        token = jwt.encode(claims, stranger, "ES256", headers={"kid": f"unknown {n}"})
        guarded.with_credential(token).http.get("/documents")
    assert guarded.provider.asked <= before + 1


# browsers --------------------------------------------------------------------------------


def test_browser_shows_its_key_once_and_has_a_cookie_no_script_can_read(guarded: Guarded) -> None:
    made = guarded.key("a")
    browser = guarded.with_credential(None).http
    said = browser.get("/session").json()
    assert (said["authenticated"], said["ways"]) == (False, ["keys", "jwt"])
    answer = browser.post("/session", json={"key": made.text})
    assert answer.json()["name"] == f"key {made.id}"
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/"))
    assert made.text.lower() not in cookie
    assert browser.get("/session").json()["authenticated"] is True
    assert browser.get("/documents").status_code == 200
    same = {"Origin": guarded.docmill.url}
    assert browser.delete("/session", headers=same).status_code == 204
    assert code_of(browser.get("/documents")) == NOBODY


def test_wrong_key_opens_no_session(guarded: Guarded) -> None:
    browser = guarded.with_credential(None).http
    answer = browser.post("/session", json={"key": "dm_aaaaaaaaaaaaaaaa_" + "A" * 43})
    assert code_of(answer) == NOBODY
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", None])
def test_other_pages_can_do_nothing_with_a_visitors_cookie(
    guarded: Guarded, origin: str | None
) -> None:
    browser = guarded.with_credential(None).http
    browser.post("/session", json={"key": guarded.key("a").text})
    headers = {"Origin": origin} if origin else {}
    for method, path in (("POST", "/documents"), ("DELETE", f"/documents/{uuid4()}")):
        assert code_of(browser.request(method, path, headers=headers)) == (403, "ORIGIN_REFUSED")


@pytest.mark.parametrize("cookie", ["", "x", "docmill_session=", "docmill_session=\x01", "a=b; ;;"])
def test_broken_cookie_is_no_session(guarded: Guarded, cookie: str) -> None:
    answer = guarded.with_credential(None).http.get("/documents", headers={"Cookie": cookie})
    assert answer.status_code in {400, 401}


# limits ----------------------------------------------------------------------------------


def test_who_asks_too_often_waits_and_nobody_else_does(admin_url: str) -> None:
    with guarded_docmill(admin_url, DOCMILL_REQUESTS_PER_SECOND="0.5") as served:
        hasty, calm = served.somebody(), served.somebody()
        answers = [hasty.http.get("/documents") for _ in range(8)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert code_of(refused[0]) == (429, "TOO_MANY_REQUESTS")
        assert int(refused[0].headers["retry-after"]) >= 1
        assert calm.http.get("/documents").status_code == 200
        until(lambda: hasty.http.get("/documents").status_code == 200, "it may ask again")


def test_who_guesses_is_slowed_down(admin_url: str) -> None:
    with guarded_docmill(admin_url, DOCMILL_REQUESTS_PER_SECOND="0.5") as served:
        good = served.somebody()
        guesses = served.with_credential("dm_aaaaaaaaaaaaaaaa_" + "A" * 43).http
        statuses = [guesses.get("/documents").status_code for _ in range(10)]
        assert statuses[0] == 401
        assert 429 in statuses
        assert good.http.get("/documents").status_code == 200


def test_who_guesses_at_the_sign_in_is_slowed_down_as_well(admin_url: str) -> None:
    with guarded_docmill(admin_url, DOCMILL_REQUESTS_PER_SECOND="0.5") as served:
        stranger = served.with_credential(None).http
        guess = {"key": "dm_aaaaaaaaaaaaaaaa_" + "A" * 43}
        answers = [stranger.post("/session", json=guess) for _ in range(10)]
        assert code_of(answers[0]) == NOBODY
        assert (429, "TOO_MANY_REQUESTS") in map(code_of, answers)
        assert stranger.get("/session").status_code == 200


LOOKS = 50


def test_owner_has_only_so_many_uploads_on_their_way(admin_url: str) -> None:
    with guarded_docmill(admin_url, DOCMILL_UPLOADS_AT_ONCE="1") as served:
        many, other = served.somebody(), served.somebody()
        waiting = served.with_credential(served.key("x").text)
        assert waiting.http.get("/documents").status_code == 200

        def held() -> Iterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx'
            for _ in range(
                LOOKS
            ):  # until the second is refused, which shows that this one has begun
                seen.append(many.http.post("/documents", files={"file": ("b.txt", b"b")}))
                if seen[-1].status_code == 429:
                    break
            yield b"\r\n--b--\r\n"

        def second_is_refused() -> bool:
            """Else the second came before the first, which then was refused itself."""
            first = many.http.post("/documents", content=held(), headers=headers)
            return first.status_code in {200, 202} and seen[-1].status_code == 429

        seen: list[httpx2.Response] = []
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        until(second_is_refused, "the first is taken while the second is refused")
        assert code_of(seen[-1]) == (429, "TOO_MANY_UPLOADS")
        assert other.upload("c.txt", b"c")
        assert many.upload("d.txt", b"d")


# without authentication -------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "169.254.169.254", "localhost.evil.example"])
def test_without_keys_other_names_are_refused(docmill: Docmill, host: str) -> None:
    answer = docmill.http.get("/documents", headers={"Host": host})
    assert code_of(answer) == (421, "HOST_REFUSED")


def test_without_authentication_no_other_machine_is_served() -> None:
    command = Started("serve", "--port", "0", "--host", "0.0.0.0")
    assert command.wait() == 78
    assert "DOCMILL_AUTH" in "\n".join(command.said)
