"""Text to numbers."""

from __future__ import annotations

import re
from collections import Counter

from specc.data.steps.base import Column, DataProblem, State, Step, check_size
from specc.ops.attributes import Attribute, Boolean, Choice, Integer

PADDING, UNKNOWN = 0, 1
# Letters and digits of any script, with apostrophes inside: "don't" is one word.
_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_SIDE = Choice(("post", "pre"))


class Tokens(Step):
    """Sentences to word numbers: (rows,) of text to (rows, length) of int.

    0 is padding and 1 an unknown word; the words of the training part follow from 2 on by falling
    frequency, equally frequent ones in alphabetical order. ``vocabulary`` counts all numbers, 0 and
    1 included, and is thus the ``input_dim`` of an embedding.
    """

    kind = "tokens"
    attributes = (
        Attribute("vocabulary", Integer(3), doc="how many numbers, padding and unknown included"),
        Attribute(
            "length", Integer(1), doc="words per row: shorter ones are padded, longer ones cut"
        ),
        Attribute("padding", _SIDE, "post", "where zeros are put: post (after) or pre (before)"),
        Attribute(
            "truncation", _SIDE, "post", "where words are cut off: post (end) or pre (start)"
        ),
        Attribute("lower", Boolean(), True, "whether upper and lower case are the same word"),
    )

    def words(self, sentence: str) -> list[str]:
        """The words of a sentence, in order."""
        return _WORD.findall(sentence.lower() if self["lower"] else sentence)

    def fit(self, column: Column) -> State:
        counts = Counter(word for sentence in _sentences(column) for word in self.words(sentence))
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return {"words": ranked[: self["vocabulary"] - 2]}

    def apply(self, column: Column, state: State) -> Column:
        import numpy as np

        numbers = {word: number for number, word in enumerate(state["words"], start=UNKNOWN + 1)}
        length = self["length"]
        check_size(self.kind, length * len(column.values))
        table = np.full((len(column.values), length), PADDING, dtype=np.int64)
        for row, sentence in zip(table, _sentences(column), strict=True):
            found = [numbers.get(word, UNKNOWN) for word in self.words(sentence)]
            kept = found[:length] if self["truncation"] == "post" else found[-length:]
            if kept and self["padding"] == "post":
                row[: len(kept)] = kept
            elif kept:
                row[-len(kept) :] = kept
        return column.with_values(table)


def _sentences(column: Column) -> list[str]:
    if not column.is_text or column.values.ndim != 1:
        raise DataProblem("tokens needs one column of text, but these are numbers")
    return [str(sentence) for sentence in column.values]
