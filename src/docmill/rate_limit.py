"""How often somebody may ask, and how much of theirs may be on its way at once."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MOST_BUCKETS = 10_000


@dataclass(slots=True)
class Bucket:
    """How many requests are left, and as of when."""

    tokens: float
    at: float


class RateLimit:
    """A bucket of tokens each: `rate` a second, and `burst` at once.

    Who has not asked for longest is forgotten first.
    """

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def wait_seconds(self, who: str) -> float:
        """Take a token: 0 where there was one, else how long until there is."""
        now = self._clock()
        bucket = self._buckets.pop(who, None) or Bucket(self._burst, now)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        self._buckets[who] = bucket
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._rate
        bucket.tokens -= 1
        return 0.0


class AtOnce:
    """`most` at once of each. One event loop uses it, so nothing happens between look and count."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._now: Counter[Hashable] = Counter()

    @contextmanager
    def one_of(self, who: Hashable) -> Iterator[bool]:
        """Count one more while the block runs; False, and not counted, where there are enough."""
        if self._now[who] >= self._most:
            yield False
            return
        self._now[who] += 1
        try:
            yield True
        finally:
            self._now[who] -= 1
            if not self._now[who]:
                del self._now[who]
