"""fastText training without rows for buckets that no n-gram of a known word falls into."""

import numpy as np
from gensim.models.fasttext import FastTextKeyedVectors, ft_ngram_hashes


class UsedBuckets(FastTextKeyedVectors):  # type: ignore[misc]  # gensim has no types
    """gensim's vectors, with rows for the buckets in use alone.

    Training never touches the others. Of fastText's 2,000,000 buckets a text of a megabyte uses
    some ten thousand; the rest take 0.8 GB at 100 dimensions, and twice the time that the training
    takes to be filled and copied.
    """

    slots: np.ndarray
    """``(used,)`` int64, ascending: bucket of each row of ``vectors_ngrams``."""

    def __init__(self, *arguments: int) -> None:
        """Arguments as gensim's."""
        super().__init__(*arguments)
        self.vectors_vocab_lockf = self.vectors_ngrams_lockf = np.ones(1, np.float32)

    def resize_vectors(self, seed: int = 0) -> None:
        """Rows for all words and all buckets of theirs."""
        hashes = [
            np.asarray(ft_ngram_hashes(word, self.min_n, self.max_n, self.bucket), np.int64)
            for word in self.index_to_key
        ]
        flat = np.concatenate([np.empty(0, np.int64), *hashes])
        self.slots, rows = np.unique(flat, return_inverse=True)
        ends = np.cumsum([len(found) for found in hashes])[:-1]
        self.buckets_word = np.split(rows.astype(np.uint32), ends)
        self.bucket: int = len(self.slots)
        super().resize_vectors(seed)

    def recalc_char_ngram_buckets(self) -> None:
        """Nothing: rows were given when the vectors were sized."""
