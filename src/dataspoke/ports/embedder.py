from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Embedder(Protocol):
    """Turns text into vectors of unit length."""

    @property
    def model(self) -> str:
        """Name and version of the model; vectors of different models cannot be compared."""
        ...

    @property
    def dimensions(self) -> int: ...

    async def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one row for each text, shape (len(texts), dimensions), each of L2 norm 1."""
        ...

    async def embed_question(self, text: str) -> NDArray[np.float32]:
        """Return the vector of a question, shape (dimensions,), of L2 norm 1."""
        ...
