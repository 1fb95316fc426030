"""What the page says, in every language: every code of errors.py, nothing missing or left over."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import docmill
from docmill.errors import FAILURES, PROBLEMS, WARNINGS
from docmill.filetype import SUPPORTED

PAGE = Path(docmill.__file__).parent / "web" / "page"
LANGUAGES = ("en", "de")
PLURALS = {"one", "other"}
# Sentences for what the page itself refuses or can't do.
OWN_PROBLEMS = {"LISTED_ALREADY", "FILE_GONE", "UNREACHABLE"}


def catalogue(language: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((PAGE / f"{language}.json").read_text(encoding="utf-8"))
    return loaded


def messages(inside: Any, name: str = "") -> dict[str, list[str]]:
    """Every message with its forms."""
    if isinstance(inside, str):
        return {name: [inside]}
    if set(inside) <= PLURALS:
        return {name: list(inside.values())}
    found: dict[str, list[str]] = {}
    for part, inner in inside.items():
        found |= messages(inner, f"{name}.{part}" if name else part)
    return found


def used() -> list[re.Pattern[str]]:
    """The names that the modules ask for; a place in a template stands for one word."""
    groups = "|".join(catalogue("en"))
    literal = re.compile(rf'"((?:{groups})\.[\w.-]+)"|`((?:{groups})\.[^`]+)`')
    asked = {
        plain or template
        for module in PAGE.glob("*.js")
        for plain, template in literal.findall(module.read_text(encoding="utf-8"))
    }
    return [pattern_of(name) for name in sorted(asked) if not name.endswith(".js")]


def pattern_of(name: str) -> re.Pattern[str]:
    pieces = re.split(r"\$\{[^}]*\}", name)
    return re.compile(r"[\w-]+".join(map(re.escape, pieces)))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_has_its_sentence_in_every_language(language: str) -> None:
    said = catalogue(language)
    assert set(said["problems"]) == set(PROBLEMS) | OWN_PROBLEMS
    assert set(said["failures"]) == set(FAILURES)
    assert set(said["warnings"]) == set(WARNINGS)
    for failure in said["failures"].values():
        assert set(failure) == {"title", "remedy"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_type_of_file_has_its_name_in_every_language(language: str) -> None:
    assert set(catalogue(language)["type"]) == {name.replace(" ", "-") for name in SUPPORTED}


def test_the_english_sentences_of_failures_are_the_servers_own() -> None:
    said = catalogue("en")["failures"]
    assert said == {
        code: {"title": kind.title, "remedy": kind.remedy} for code, kind in FAILURES.items()
    }


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_languages_have_the_same_messages_with_the_same_places(language: str) -> None:
    here, there = messages(catalogue("en")), messages(catalogue(language))
    assert set(here) == set(there)
    for name in here:
        assert places(here[name]) == places(there[name]), name


def places(forms: list[str]) -> set[str]:
    return {place for form in forms for place in re.findall(r"\{(\w+)\}", form)}


def test_what_the_page_asks_for_is_in_the_catalogue_and_nothing_else_is() -> None:
    known = set(messages(catalogue("en")))
    asked = used()
    assert len(asked) > 100, "this test no longer finds the names in the modules"
    for pattern in asked:
        assert any(pattern.fullmatch(name) for name in known), f"nothing fits {pattern.pattern}"
    left_over = {name for name in known if not any(p.fullmatch(name) for p in asked)}
    assert left_over == set()


def test_every_message_ends_and_begins_with_a_character_to_see() -> None:
    for language in LANGUAGES:
        for name, forms in messages(catalogue(language)).items():
            assert all(form and form == form.strip() for form in forms), (language, name)
