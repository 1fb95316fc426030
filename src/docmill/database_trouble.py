"""What PostgreSQL, or whoever stands before it, means by an error: a sentence, and what to do.

libpq gives a failed connection no code, only words; so the words are what is looked at. A server
that speaks another language gets its own words shown, and the general advice.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

import psycopg

ADDRESS = "DOCMILL_DATABASE_URL"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a database, and how to mend it."""

    what: str
    remedy: str


class Known(NamedTuple):
    """What may stand in an error's words, what that means, and what to do."""

    pattern: str
    what: str
    remedy: str


# The first that fits counts. `{0}` and so on are what the pattern's groups found.
TROUBLES = (
    Known(
        r'password authentication failed for user "([^"]+)"',
        "the server knows no such user as {0} with this password",
        "Check the user and the password in {address}. After the admin's password has changed,"
        " or where docmill never was, run `docmill migrate`: it sets those of docmill's own roles.",
    ),
    Known(
        r"SASL authentication failed|no such user|[Tt]enant or user not found",
        "the pooler knows no such user with this password",
        "Check the user and the password in {address}. Some poolers only know users that they were"
        " told of: tell it of docmill_api and docmill_worker, or use the server's own address.",
    ),
    Known(
        r'role "([^"]+)" does not exist',
        "the server has no role {0}",
        "Run `docmill migrate` with an admin's address, or deploy/supabase/setup.sql.",
    ),
    Known(
        r'database "([^"]+)" does not exist',
        "the server has no database {0}",
        "Create it, or name another one in {address}.",
    ),
    Known(
        r'could not translate host name "([^"]+)"|failed to resolve host \'([^\']+)\'',
        "there is no host of the name {0}",
        "Check the host in {address}, and that this machine can resolve names.",
    ),
    Known(
        r'connection to server at "([^"]+)".*, port (\d+) failed: Connection refused',
        "nobody listens at {0}, port {1}",
        "Start PostgreSQL there, check its `listen_addresses`, or correct {address}.",
    ),
    Known(
        r"timeout expired|[Tt]imed out|Network is unreachable|No route to host",
        "the server does not answer",
        "Check the host and the port in {address}, and what firewalls let through. A host that only"
        " has an IPv6 address can't be reached from a network without IPv6.",
    ),
    Known(
        r"server does not support SSL, but SSL was required",
        "the server does not speak TLS, and the address asks for it (sslmode)",
        "Switch TLS on at the server (`ssl = on`). Only on a network that nobody else can listen"
        " to: sslmode=prefer in {address}.",
    ),
    Known(
        r"certificate verify failed|unable to get local issuer",
        "the server's certificate is not by an authority that is trusted here",
        "Name the authority's certificate by sslrootcert=… in {address}.",
    ),
    Known(
        r'root certificate file "([^"]+)" does not exist',
        "the authority's certificate {0} is not there, so the server can't prove who it is",
        "Put it there, or name another place by sslrootcert=… in {address}.",
    ),
    Known(
        r'server certificate for "?([^"]+?)"?(?: \(and \d+ other names?\))? does not match'
        r' host name "([^"]+)"',
        "the server's certificate is for {0} and not for {1}",
        "Use the name that the certificate is for in {address}.",
    ),
    Known(
        r"no pg_hba.conf entry.*no encryption",
        "the server takes nobody without TLS",
        "Say sslmode=verify-full in {address}, and sslrootcert=… where its authority is your own.",
    ),
    Known(
        r'no pg_hba.conf entry for host "([^"]+)", user "([^"]+)"',
        "the server lets {1} in from other places, but not from {0}",
        "Add a line for it to the server's pg_hba.conf.",
    ),
    Known(
        r"too many clients|remaining connection slots|no more connections allowed"
        r"|[Mm]ax client connections",
        "the server has no connection left",
        "Raise its `max_connections`, use fewer workers, or put a pooler before it.",
    ),
    Known(
        r"permission denied for (\w+) (\w+)",
        "the role may not use the {0} {1}",
        "Run `docmill migrate` with an admin's address: it grants what docmill's roles need.",
    ),
    Known(
        r'extension "vector" is not available|extension control file .*vector',
        "the server has no pgvector",
        "Install it beside the server (the package postgresql-NN-pgvector or pgvector), or enable"
        " the extension `vector` where your provider lists extensions.",
    ),
)
UNKNOWN = "Check {address}, and that `docmill migrate` has run."


def explain(error: psycopg.Error, variable: str = ADDRESS) -> Trouble:
    """What an error means, for whoever set the address by this variable."""
    words = " ".join(str(error).split())
    for known in TROUBLES:
        if match := re.search(known.pattern, words):
            found = [group for group in match.groups() if group is not None]
            return Trouble(known.what.format(*found), known.remedy.format(address=variable))
    return Trouble(words, UNKNOWN.format(address=variable))
