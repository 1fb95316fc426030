"""What /metrics says, as Prometheus reads it."""

from collections.abc import Iterable
from dataclasses import dataclass

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


@dataclass(frozen=True)
class Scraped:
    """One page of /metrics."""

    text: str
    samples: tuple[Sample, ...]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels; 0 where there is none."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def names(self) -> set[str]:
        """Every metric on it, as METRICS names them: a histogram is one."""
        return {
            f"{family.name}_total" if family.type == "counter" else family.name
            for family in text_string_to_metric_families(self.text)
        }


def read(text: str) -> Scraped:
    """A page from its text."""
    families = text_string_to_metric_families(text)
    return Scraped(text, tuple(sample for family in families for sample in family.samples))


def scrape(http: httpx2.Client) -> Scraped:
    """The page of a served docmill."""
    answer = http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return read(answer.text)


def counters(pages: Iterable[Scraped]) -> list[dict[str, float]]:
    """Every series of each page that may only grow."""
    return [
        {
            f"{sample.name}{sorted(sample.labels.items())}": sample.value
            for sample in page.samples
            if sample.name.endswith(("_total", "_bucket", "_count", "_sum"))
        }
        for page in pages
    ]
