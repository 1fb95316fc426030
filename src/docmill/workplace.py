"""What a stage has at hand, and what it hands on."""

import threading
from dataclasses import dataclass, field

from docmill.database import WorkerDatabase
from docmill.embed import Embedder
from docmill.errors import Stopped
from docmill.job_queue import Claimant
from docmill.model import Chunk, Job, Page
from docmill.parse_process import ParseProcess
from docmill.spool import Spool


@dataclass(frozen=True, slots=True)
class Workplace:
    """One slot of a worker: everything that outlives a job. Only one thread uses it."""

    database: WorkerDatabase
    claimant: Claimant
    parser: ParseProcess
    spool: Spool
    embedder: Embedder
    model_id: int


@dataclass(frozen=True, slots=True)
class Work:
    """A job in hand, the way to be told to stop, and what the stage before made in this process.

    `pages` and `chunks` save the next stage a read; without them it reads what was committed.
    """

    job: Job
    stop: threading.Event = field(default_factory=threading.Event)
    pages: list[Page] | None = None
    chunks: list[Chunk] | None = None

    def go_on(self) -> None:
        """Do nothing while the work may go on.

        Raises:
            Stopped: it may not.
        """
        if self.stop.is_set():
            raise Stopped


@dataclass(frozen=True, slots=True)
class Following:
    """The next stage's job, claimed already by this worker, with what it needs still in memory."""

    job: Job
    pages: list[Page] | None = None
    chunks: list[Chunk] | None = None


# How the jobs ended that were still held: what follows from each, by the job's id.
Ends = dict[int, Following | None]
