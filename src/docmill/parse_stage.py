"""The parse stage: read a file page by page, and commit what is read window by window.

A long PDF is split: the first part learns how many pages there are and, in its first commit, adds a
job for each further range, so that ranges are read side by side and a crash costs one window.
What is not committed by then, `finish` commits with the end of the job, for several at once.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from docmill import documents, job_queue
from docmill.database import Sync
from docmill.documents import Growth
from docmill.errors import Failure
from docmill.job_queue import Part
from docmill.model import Job, Notice, Opened, Page
from docmill.workplace import Ends, Following, Work, Workplace

PAGES_PER_PART = 100
# A window closes at whichever comes first. Few pages: progress moves in many steps, a crash costs
# little. Characters: memory stays flat. Seconds: slow pages show one by one.
WINDOW_PAGES = 25
WINDOW_CHARACTERS = 500_000
WINDOW_SECONDS = 1.0
# More text than this is read back by the next stage instead of being handed on in memory.
HANDED_ON_CHARACTERS = 1_000_000
# Each costs up to the limits of a whole range; the next attempt goes on behind them.
BROKEN_PAGES_PER_ATTEMPT = 2

Event = Opened | Page | Notice


class Window:
    """Pages and notices that are read but not committed yet."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self.notices: list[Notice] = []
        self._characters = 0
        self._opened = time.monotonic()

    def add(self, page: Page) -> None:
        """Take one more page."""
        self.pages.append(page)
        self._characters += len(page.text)

    def is_full(self) -> bool:
        """Whether it is time to commit."""
        return (
            len(self.pages) >= WINDOW_PAGES
            or self._characters >= WINDOW_CHARACTERS
            or time.monotonic() - self._opened >= WINDOW_SECONDS
        )


class Reading:
    """One attempt at a parse job: what was opened, how far it is, what may be handed on."""

    def __init__(self, place: Workplace, job: Job) -> None:
        self.place = place
        self.job = job
        self.opened: Opened | None = None
        self.split = job.span is not None
        self.done = job.done
        self.window = Window()
        self.handed_on: list[Page] | None = None if self.split or job.done else []
        self._characters = 0

    def take(self, event: Event) -> None:
        """Take what the parser sent, and commit when a window is full."""
        match event:
            case Opened():
                self.opened = event
                if event.ranged and not self.split and (event.pages or 0) > PAGES_PER_PART:
                    self._split(event.pages or 0)
            case Notice(code="NO_TEXT"):
                pass  # the chunk stage says so, once, whatever the parser
            case Notice():
                self.window.notices.append(event)
            case Page():
                self._take_page(event)

    def _take_page(self, page: Page) -> None:
        if page.number <= self._committed_up_to():
            return  # an earlier attempt committed it; this kind of file can only be read whole
        self.window.add(page)
        self._hand_on(page)
        if self.window.is_full():
            self._commit_window()

    def _committed_up_to(self) -> int:
        return 0 if self.split else self.job.done

    def _hand_on(self, page: Page) -> None:
        self._characters += len(page.text)
        if self.split or self._characters > HANDED_ON_CHARACTERS:
            self.handed_on = None
        if self.handed_on is not None:
            self.handed_on.append(page)

    def _split(self, pages: int) -> None:
        """Keep the first range and add a job for each further one, in one commit."""
        self.split = True
        self.handed_on = None
        parts = list(page_ranges(pages))
        first = parts[0]
        with self.place.database.commit("split") as connection:
            job_queue.checkpoint(
                connection,
                self.job,
                done=0,
                total=first.total,
                span=first.span,
                lease_seconds=self.place.claimant.lease_seconds,
            )
            documents.advance(connection, [Growth(self.job, pages_total=pages)])
            job_queue.enqueue(connection, self.job, "parse", parts[1:])

    def _commit_window(self) -> None:
        window, self.window = self.window, Window()
        done = self.done + len(window.pages)
        with self.place.database.commit("keep_pages") as connection:
            job_queue.checkpoint(
                connection,
                self.job,
                done=done,
                total=self._total_if_known(),
                lease_seconds=self.place.claimant.lease_seconds,
            )
            documents.keep_pages(connection, [(self.job, window.pages)])
            documents.advance(connection, [self._growth(window)])
        self.done = done

    @property
    def rows(self) -> int:
        """Pages that are not committed yet."""
        return len(self.window.pages)

    def last_growth(self) -> Growth:
        """What the last window adds. A document that is not split is read with it, and cut next."""
        if self.split:
            return self._growth(self.window)
        whole = self.done + len(self.window.pages)
        return replace(self._growth(self.window), pages_total=whole, stage="chunk")

    def _growth(self, window: Window) -> Growth:
        return Growth(
            self.job,
            pages=len(window.pages),
            pages_total=self._pages_if_known(),
            media_type=self.opened.media_type if self.opened else None,
            notices=window.notices,
        )

    def _pages_if_known(self) -> int | None:
        return self.opened.pages if self.opened and self.opened.ranged else None

    def _total_if_known(self) -> int | None:
        return None if self.split else self._pages_if_known()


def prepare(place: Workplace, work: Work) -> Reading:
    """Read what the job covers, and commit all of it but the last window.

    Raises:
        Failure: the file can't be read, or its parser died or hit a limit.
        Stopped: the work was told to stop; what was committed stays.
        LeaseLost: the job is no longer this worker's.
    """
    work.go_on()
    reading = Reading(place, work.job)
    first, last = pages_to_read(work.job)
    with place.spool.file(work.job.file_id) as file:

        def read(first: int, last: int) -> Iterator[Event]:
            name, stop = work.job.filename, work.stop
            return place.parser.parse(file, name, first=first, last=last, stop=stop)

        for event in around_broken_pages(read, first, last):
            reading.take(event)
    work.go_on()
    return reading


def finish(place: Workplace, readings: Sequence[Reading]) -> Ends:
    """Commit last windows, the ends of the jobs and, where all parts are read, the chunk jobs.

    Raises:
        LeaseLost: a document is no longer in work, or no job this worker's; nothing was committed.
    """
    with place.database.commit("finish_parse") as connection:
        ended = [(reading.job, reading.done + len(reading.window.pages)) for reading in readings]
        held = job_queue.finish(connection, ended)
        ours = [reading for reading in readings if reading.job.id in held]
        documents.keep_pages(connection, [(reading.job, reading.window.pages) for reading in ours])
        documents.advance(connection, [reading.last_growth() for reading in ours])
        whole = [reading for reading in ours if _is_whole(connection, reading)]
        parts = [(reading.job, Part(0)) for reading in whole]
        taken = job_queue.enqueue_taken(connection, parts, "chunk", place.claimant)
    pages = {reading.job.document_id: reading.handed_on for reading in whole}
    following = {key: Following(job, pages=pages[key]) for key, job in taken.items()}
    return {reading.job.id: following.get(reading.job.document_id) for reading in ours}


def _is_whole(connection: Sync, reading: Reading) -> bool:
    """Whether all of the document is read now, and chunking follows.

    The document's row is held while the other parts are counted: of two that end at the same
    moment one counts none.
    """
    if not reading.split:
        return True
    if job_queue.unfinished_parts(connection, [reading.job], "parse"):
        return False
    documents.advance(connection, [Growth(reading.job, stage="chunk")])
    return True


def around_broken_pages(
    read: Callable[[int, int], Iterator[Event]], first: int, last: int
) -> Iterator[Event]:
    """What `read` gives for a range of pages, but for a page that breaks the parser.

    Such a page is tried again by itself, in the fresh parser that `read` finds; if it breaks that
    one as well, it is left out with a warning: one bad page of a book is no reason to refuse it.
    A file of one page, or without pages, fails: nothing of it would be left.
    """
    page, end = first, 0
    for _ in range(BROKEN_PAGES_PER_ATTEMPT):
        try:
            for event in read(page, last):
                if isinstance(event, Opened) and event.ranged and (event.pages or 0) > 1:
                    end = min(last, event.pages or 0)
                if isinstance(event, Page):
                    page = event.number + 1
                yield event
        except Failure as failure:
            if not failure.kind.of_file or page > end:
                raise
        else:
            return
        yield from alone(read, page)
        page += 1
    yield from read(page, last)


def alone(read: Callable[[int, int], Iterator[Event]], page: int) -> Iterator[Event]:
    """One page by itself, or an empty one in its place and why."""
    try:
        yield from [event for event in read(page, page) if not isinstance(event, Opened)]
    except Failure as failure:
        if not failure.kind.of_file:
            raise
        yield Page(page, "")
        yield Notice("PARTS_SKIPPED", f"{failure.said} The page was left out.", page)


def pages_to_read(job: Job) -> tuple[int, int]:
    """First and last page number to ask the parser for.

    A range goes on behind what is committed of it. A file that nobody has opened yet is asked for
    as far as one part may go; one that can't be read in ranges comes whole all the same.
    """
    if job.span is None:
        return 1 + job.done, PAGES_PER_PART
    return job.span["first"] + job.done, job.span["last"]


def page_ranges(pages: int) -> Iterator[Part]:
    """The parts of a document of so many pages."""
    for part, first in enumerate(range(1, pages + 1, PAGES_PER_PART)):
        last = min(first + PAGES_PER_PART - 1, pages)
        yield Part(part, {"first": first, "last": last}, last - first + 1)
