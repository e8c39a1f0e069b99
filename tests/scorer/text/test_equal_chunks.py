"""Which chunks repeat another."""

from __future__ import annotations

import numpy as np

from scorer.text.equal_chunks import equal_chunks


def test_a_chunk_that_repeats_names_the_first_of_its_tokens() -> None:
    ids = np.array([[1, 2], [3, 4], [1, 2], [2, 1], [1, 2]], np.int32)
    assert equal_chunks(ids, (9, 4, 7, 0, 2)) == {7: 9, 2: 9}
    assert equal_chunks(ids[:2], (0, 1)) == {}
    assert equal_chunks(ids[:0], ()) == {}
