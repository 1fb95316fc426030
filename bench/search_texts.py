"""Passages and queries to search for: words of topics, and the common words of all."""

import random

TOPICS = 400
WORDS_OF_TOPIC = 60
VOCABULARY = 8000
COMMON_WORDS = 200
PASSAGE_WORDS = 60
QUERY_WORDS = 5
CONSONANTS, VOWELS = "bcdfghklmnprstvw", "aeiou"


class Texts:
    """The same texts for the same seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._words = sorted({self._word() for _ in range(VOCABULARY)})
        self._chance.shuffle(self._words)
        self._topics = [self._chance.sample(self._words, WORDS_OF_TOPIC) for _ in range(TOPICS)]

    def _word(self) -> str:
        length = self._chance.randint(4, 9)
        return "".join(
            self._chance.choice(VOWELS if place % 2 else CONSONANTS) for place in range(length)
        )

    def passage(self) -> str:
        """Two thirds of one topic's words, one third of the common ones."""
        topic = self._chance.choice(self._topics)
        words = self._chance.choices(topic, k=PASSAGE_WORDS * 2 // 3)
        words += self._chance.choices(self._words[:COMMON_WORDS], k=PASSAGE_WORDS // 3)
        self._chance.shuffle(words)
        return " ".join(words)

    def query(self) -> str:
        """Some words of one topic."""
        return " ".join(self._chance.sample(self._chance.choice(self._topics), QUERY_WORDS))
