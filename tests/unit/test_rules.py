"""The decisions that are tables and pure functions: progress, retries, settings, words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docmill import lexical, lifecycle, retry
from docmill.config import read_settings, shown
from docmill.errors import FAILURES, Failure, SettingError
from docmill.progress import SHARES, Count, percent

counts = st.integers(0, 5000)


@given(counts, counts, counts)
def test_only_completed_is_a_hundred_percent(parse: int, chunk: int, embed: int) -> None:
    full = {stage: Count(n, n) for stage, n in zip(SHARES, (parse, chunk, embed), strict=True)}
    assert percent(full, "processing") < 100
    assert percent(full, "completed") == 100


@given(st.lists(st.tuples(st.sampled_from(list(SHARES)), st.integers(1, 50)), max_size=30))
def test_the_percentage_never_goes_back_while_counts_grow(steps: list[tuple[str, int]]) -> None:
    done = dict.fromkeys(SHARES, 0)
    total: dict[str, int | None] = {"parse": 500, "chunk": None, "embed": None}
    before = 0.0
    for stage, more in steps:
        done[stage] += more
        total[stage] = total[stage] or 1500
        now = percent({s: Count(done[s], total[s]) for s in SHARES}, "processing")
        assert before <= now < 100
        before = now


def test_a_total_that_is_not_known_counts_nothing() -> None:
    assert Count(7, None).fraction == 0
    assert Count(0, 0).fraction == 1


@given(st.integers(1, 60))
def test_waits_double_up_to_the_cap_and_half_of_each_is_certain(tries: int) -> None:
    policy = retry.RetryPolicy(base_seconds=2, cap_seconds=300)
    shortest, longest = retry.wait_bounds(policy, tries)
    assert longest == min(300, 2.0**tries)
    assert shortest == longest / 2


@pytest.mark.parametrize("code", list(FAILURES))
@pytest.mark.parametrize("got_on", [False, True])
def test_a_failure_ends_the_job_at_once_or_at_the_last_attempt(code: str, *, got_on: bool) -> None:
    failure = Failure(code, "It happened.")
    assert retry.ends_the_job(failure, attempt=1, released=0, max_attempts=5, got_on=got_on) is (
        not FAILURES[code].retryable
    )
    assert retry.ends_the_job(failure, attempt=5, released=0, max_attempts=5, got_on=got_on)


@pytest.mark.parametrize("code", [code for code in FAILURES if code.startswith("PARSER_")])
def test_a_file_that_breaks_its_parser_is_tried_twice_or_while_it_gets_on(code: str) -> None:
    def ends(attempt: int, *, got_on: bool) -> bool:
        return retry.ends_the_job(Failure(code), attempt, 0, 5, got_on=got_on)

    assert [ends(attempt, got_on=False) for attempt in (1, 2, 3)] == [False, True, True]
    assert [ends(attempt, got_on=True) for attempt in (1, 2, 3)] == [False, False, False]


def test_attempts_that_were_given_back_cost_nothing() -> None:
    failure = Failure("INTERNAL", "Later.")
    assert not retry.ends_the_job(failure, attempt=6, released=2, max_attempts=5, got_on=False)
    assert retry.ends_the_job(failure, attempt=7, released=2, max_attempts=5, got_on=False)


def test_every_state_is_reached_and_every_end_can_be_started_again() -> None:
    for moves, states in (
        (lifecycle.JOB_MOVES, lifecycle.JOB_STATES),
        (lifecycle.DOCUMENT_MOVES, lifecycle.DOCUMENT_STATES),
    ):
        assert set(moves.values()) | {"queued"} == set(states)
        assert {before for before, _ in moves} <= set(states)
    for ended in lifecycle.RETRIABLE:
        assert (ended, "retried") in lifecycle.DOCUMENT_MOVES
    for ended in lifecycle.ENDED:
        assert (ended, "reprocessed") in lifecycle.DOCUMENT_MOVES


def test_a_flag_goes_before_the_environment_and_an_empty_variable_is_not_set() -> None:
    environment = {"DOCMILL_PORT": "9000", "DOCMILL_WORKERS": "", "OTHER": "x"}
    settings = read_settings(environment, {"port": "9001", "host": None})
    assert (settings.port, settings.workers, settings.host) == (9001, 2, "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("DOCMILL_PORT", "70000"),
        ("DOCMILL_PORT", "http"),
        ("DOCMILL_WORKERS", "-1"),
        ("DOCMILL_LEASE_SECONDS", "0"),
        ("DOCMILL_LEASE_SECONDS", "nan"),
        ("DOCMILL_MAX_UPLOAD_BYTES", "big"),
        ("DOCMILL_EMBEDDER", "magic"),
        ("DOCMILL_EMBEDDER", "openai"),
        ("DOCMILL_HOST", "0.0.0.0"),
        ("DOCMILL_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(name: str, text: str) -> None:
    with pytest.raises(SettingError, match=name if text != "openai" else "DOCMILL_EMBED_URL"):
        read_settings({name: text})


def test_secrets_are_never_shown() -> None:
    settings = read_settings({"DOCMILL_EMBED_API_KEY": "sk-1234"})
    assert "sk-1234" not in str(shown(settings))
    with pytest.raises(SettingError) as refused:
        read_settings({"DOCMILL_DATABASE_URL": "mysql://root:hunter2@db"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Crème Brûlée", ["creme", "brulee"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("漢字かな", ["漢字", "字か", "かな"]),
        ("ﬁle-name_2", ["file", "name", "2"]),
        ("हिन्दी", ["ह", "न", "द"]),
        ("", []),
    ],
)
def test_words_are_compared_folded(text: str, expected: list[str]) -> None:
    if text == "हिन्दी":
        assert lexical.words(text)  # marks part Indic words: the same in documents and in queries
    else:
        assert lexical.words(text) == expected


@given(st.text(max_size=300))
def test_a_text_is_found_in_itself_wherever_it_has_words(text: str) -> None:
    places = lexical.found_in(text, text)
    assert bool(places) == bool(lexical.words(text))
    ends = [0, *(end for _, end in places)]
    assert all(before <= start < end for before, (start, end) in zip(ends, places, strict=False))
    assert ends[-1] <= len(text)


@given(st.text("aAb1_ ", max_size=60), st.text("aAb1 ", max_size=8))
def test_words_are_found_in_ascii_as_in_every_other_text(text: str, query: str) -> None:
    assert lexical.found_in(text, query) == lexical.found_in(f"{text} ß", query)


@pytest.mark.parametrize(
    ("text", "query", "found"),
    [
        ("The Wheel, the wheels", "the WHEEL", ["The", "Wheel", "the"]),
        ("re\u0301sume\u0301 and resumé", "résumé", ["re\u0301sume\u0301", "resumé"]),
        ("東京都に住む。京都", "京都", ["京都", "京都"]),
        ("nothing of it", "!", []),
        (f"{'w' * 80} {'w' * 99} a{'w' * 80}", "w" * 90, ["w" * 80, "w" * 99]),
    ],
)
def test_words_are_found_as_they_are_written(text: str, query: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in lexical.found_in(text, query)] == found


@pytest.mark.parametrize(
    "origins", ["*", "app.example.com", "https://a.example/", "null", "ftp://a"]
)
def test_what_is_no_origin_of_a_page_is_refused(origins: str) -> None:
    with pytest.raises(SettingError, match=r"origins such as https://app\.example\.com"):
        read_settings({"DOCMILL_ALLOWED_ORIGINS": origins})
