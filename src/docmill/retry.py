"""What follows from a failure: another try, when, or the end.

The queue computes the wait itself, in SQL, by the database's clock (`fail_job`, `reap_jobs` in
`job_queue.sql`); `wait_bounds` states the same rule as a pure function, and a test holds the two
against each other.
"""

from dataclasses import dataclass

from docmill.errors import Failure

TRIES_AT_A_FILE = 2


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff: `base_seconds` doubles with each attempt up to `cap_seconds`.

    The end of an outage is waited for without using up attempts, for `outage_patience_seconds`.
    """

    base_seconds: float
    cap_seconds: float
    outage_patience_seconds: float = 86_400.0


def counts_against(attempt: int, released: int) -> int:
    """How many of the attempts count: those given back at a drain cost nothing."""
    return attempt - released


def ends_the_job(
    failure: Failure, attempt: int, released: int, max_attempts: int, *, got_on: bool
) -> bool:
    """Whether a failure is the last one: it can't get better, or the attempts are used up.

    `got_on` says that this attempt committed some of its work: the next one begins behind it.
    """
    tries = counts_against(attempt, released)
    if failure.kind.of_file and not got_on and tries >= TRIES_AT_A_FILE:
        return True
    return not failure.retryable or tries >= max_attempts


def wait_bounds(policy: RetryPolicy, tries: int) -> tuple[float, float]:
    """The shortest and the longest wait after the `tries`-th counted attempt, in seconds.

    Half of the wait is certain and half is chance, so that jobs that failed together (an endpoint
    that went down) do not come back together.
    """
    longest = min(policy.cap_seconds, policy.base_seconds * 2.0 ** (tries - 1))
    return longest / 2, longest
