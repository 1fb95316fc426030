"""What becomes of a document that is here already: the rule, as a table.

A document is its `external_id` if it has one, else its bytes. What is sent again is not taken for a
new one: a client without a memory would pile up a thousand copies of the same file.
"""

from dataclasses import dataclass
from typing import Literal

from docmill.lifecycle import RETRIABLE

ON_DUPLICATE = ("return_existing", "replace", "error")

Decision = Literal["add", "return", "retry", "replace", "refuse"]

# (what the sender asked for, whether the bytes are the same) -> what is done. Without a word, the
# same bytes are nothing new, and other bytes under the same external_id are a new version.
DECISIONS: dict[tuple[str | None, bool], Decision] = {
    (None, True): "return",
    (None, False): "replace",
    ("return_existing", True): "return",
    ("return_existing", False): "return",
    ("replace", True): "replace",
    ("replace", False): "replace",
    ("error", True): "refuse",
    ("error", False): "refuse",
}


@dataclass(frozen=True, slots=True)
class Existing:
    """The document that is here: its state, and whether its bytes are those that were sent.

    `may_get_better`: it failed for a reason that another try may not meet.
    """

    status: str
    same_bytes: bool
    may_get_better: bool = False


def decide(on_duplicate: str | None, existing: Existing | None) -> Decision:
    """What is done with bytes that were sent.

    A file that can't be read is remembered as such: sent again, it is the failed document that is
    returned. One that failed in passing, or was cancelled, is what the sender wants processed.
    """
    if existing is None:
        return "add"
    decision = DECISIONS[on_duplicate, existing.same_bytes]
    if decision == "return" and existing.same_bytes and _is_worth_a_try(existing):
        return "retry"
    return decision


def _is_worth_a_try(existing: Existing) -> bool:
    if existing.status == "failed":
        return existing.may_get_better
    return existing.status in RETRIABLE
