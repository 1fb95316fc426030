"""What states there are and what may follow what: the tables behind every status.

The database refuses the false rows (`CHECK` constraints in `migrations/`), the statements in
`job_queue.sql` do the moves, and these tables say what is meant; a test walks every pair and holds
the statements against them. `docs/states.md` is drawn from here.
"""

STAGES = ("parse", "chunk", "embed")

# What a document may be to its owner, as `documents.priority`: what is lower comes first.
PRIORITIES = {"high": -10, "normal": 0, "low": 10}

FOLLOWING = {"parse": "chunk", "chunk": "embed", "embed": None}

# (state, what happens) -> next state. What is not here must not happen.
JOB_MOVES = {
    ("queued", "claimed"): "running",
    ("queued", "cancelled"): "cancelled",
    ("running", "finished"): "succeeded",
    ("running", "failed, may be tried again"): "queued",
    ("running", "failed for good"): "failed",
    ("running", "lease ran out"): "queued",
    ("running", "lease ran out at the last attempt"): "failed",
    ("running", "given back"): "queued",
    ("running", "cancelled"): "cancelled",
    ("failed", "retried"): "queued",
    ("cancelled", "retried"): "queued",
}

DOCUMENT_MOVES = {
    ("queued", "first job claimed"): "processing",
    ("queued", "cancelled"): "cancelled",
    ("processing", "last job finished"): "completed",
    ("processing", "a job failed for good"): "failed",
    ("processing", "cancelled"): "cancelled",
    ("failed", "retried"): "queued",
    ("cancelled", "retried"): "queued",
    ("completed", "reprocessed"): "queued",
    ("failed", "reprocessed"): "queued",
    ("cancelled", "reprocessed"): "queued",
}

JOB_STATES = ("queued", "running", "succeeded", "failed", "cancelled")
DOCUMENT_STATES = ("queued", "processing", "completed", "failed", "cancelled")
ENDED = frozenset({"completed", "failed", "cancelled"})
RETRIABLE = frozenset({"failed", "cancelled"})

# How an attempt can end; the words of `job_attempts.outcome`.
OUTCOMES = ("succeeded", "failed", "lease_expired", "released", "cancelled")
