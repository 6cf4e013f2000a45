"""An embedder that knows a few synonyms, for tests of what is built on the port."""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataspoke.errors import DependencyError
from dataspoke.knowledge.lexical import stems

# Stems, as stems() gives them.
_SYNONYMS = {"client": "custom", "buyer": "custom", "purchas": "order", "sale": "order"}


class SynonymEmbedder:
    """Adds up one fixed direction for each word, the same for synonyms.

    ``texts`` holds what was embedded as documents. While ``failure`` is set, every call raises it.
    """

    def __init__(self, model: str = "synonyms@1", dimensions: int = 384) -> None:
        self.texts: list[str] = []
        self.failure: DependencyError | None = None
        self._model = model
        self._dimensions = dimensions

    @property
    def model(self) -> str:
        return self._model

    @property
    def dimensions(self) -> int:
        return self._dimensions

    async def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.stack([await self.embed_question(text) for text in texts])
        self.texts += texts
        return rows

    async def embed_question(self, text: str) -> NDArray[np.float32]:
        if self.failure is not None:
            raise self.failure
        total = np.zeros(self._dimensions, dtype=np.float32)
        for term in stems(text):
            seed = zlib.crc32(f"{self._model} {_SYNONYMS.get(term, term)}".encode())
            total += np.random.default_rng(seed).standard_normal(self._dimensions)
        unit: NDArray[np.float32] = (total / np.linalg.norm(total)).astype(np.float32)
        return unit
