"""Text to vectors: a small ONNX model on this machine, or an OpenAI-compatible endpoint."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)
from tokenizers import Tokenizer

from dataspoke.adapters.retry_after import retry_after_s
from dataspoke.embedded.model import MODEL_FILE, TOKENIZER_FILE, model_name
from dataspoke.errors import (
    ConfigurationError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
)

Matrix = NDArray[np.float32]

# What the model was made for; a longer text is cut.
_MAX_TOKENS = 256


class LocalEmbedder:
    """A sentence-transformers model in ONNX, mean pooled; the folder is what ``fetch`` fills.

    Each text runs by itself: an int8 model scales its activations over the whole batch, so that a
    text's vector would depend on its neighbours (down to a cosine of .98). Alone it takes 2.5 ms
    for a table of the usual width, in batches of 32 it takes 1.4.
    """

    def __init__(self, directory: Path, threads: int = 2) -> None:
        """Load the model; raises ConfigurationError where the folder is not complete."""
        self._model = model_name(directory)
        self._tokenizer: Any = Tokenizer.from_file(str(directory / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin for the next text take the processor from whoever answers this one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(
            str(directory / MODEL_FILE), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        self._dimensions = int(self._session.get_outputs()[0].shape[-1])

    @property
    def model(self) -> str:
        return self._model

    @property
    def dimensions(self) -> int:
        return self._dimensions

    async def embed_documents(self, texts: Sequence[str]) -> Matrix:
        # onnxruntime lets go of the interpreter lock while it computes.
        return await asyncio.to_thread(self._embed, texts)

    async def embed_question(self, text: str) -> Matrix:
        vector: Matrix = (await self.embed_documents([text]))[0]
        return vector

    def _embed(self, texts: Sequence[str]) -> Matrix:
        rows = np.empty((len(texts), self._dimensions), dtype=np.float32)
        for row, encoding in zip(rows, self._tokenizer.encode_batch(list(texts)), strict=True):
            ids = np.array([encoding.ids], dtype=np.int64)
            inputs = {
                "input_ids": ids,
                "attention_mask": np.ones_like(ids),
                "token_type_ids": np.zeros_like(ids),
            }
            given = {name: value for name, value in inputs.items() if name in self._inputs}
            row[:] = self._session.run(None, given)[0][0].mean(axis=0)
        return _unit(rows)


class OpenAIEmbedder:
    """An endpoint with OpenAI's ``POST /embeddings``, asked in batches with bounded retries."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        model: str,
        dimensions: int,
        *,
        batch_size: int = 64,
        max_attempts: int = 4,
        max_wait_s: float = 30,
    ) -> None:
        """Use ``http``, whose base address, key and timeout are the caller's to set and close."""
        self._http = http
        self._model = model
        self._dimensions = dimensions
        self._batch_size = batch_size
        self._max_attempts = max_attempts
        self._max_wait_s = max_wait_s

    @property
    def model(self) -> str:
        return f"{self._model}@{self._dimensions}"

    @property
    def dimensions(self) -> int:
        return self._dimensions

    async def embed_documents(self, texts: Sequence[str]) -> Matrix:
        rows = np.empty((len(texts), self._dimensions), dtype=np.float32)
        for start in range(0, len(texts), self._batch_size):
            batch = list(texts[start : start + self._batch_size])
            rows[start : start + len(batch)] = await self._embed(batch)
        return _unit(rows)

    async def embed_question(self, text: str) -> Matrix:
        vector: Matrix = (await self.embed_documents([text]))[0]
        return vector

    async def _embed(self, batch: list[str]) -> Matrix:
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(_may_pass),
                stop=stop_after_attempt(self._max_attempts),
                wait=self._wait,
                reraise=True,
            ):
                with attempt:
                    answer = await self._http.post(
                        "embeddings",
                        json={
                            "model": self._model,
                            "input": batch,
                            "dimensions": self._dimensions,
                            "encoding_format": "float",
                        },
                    )
                    answer.raise_for_status()
        except httpx.TimeoutException as error:
            raise DependencyTimeout("embedder", "The embedding endpoint did not answer.") from error
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if _may_pass(error):
                raise DependencyUnavailable(
                    "embedder", f"The embedding endpoint is overloaded or down (HTTP {status})."
                ) from error
            raise DependencyRejected(
                "embedder",
                f"The embedding endpoint refused the request (HTTP {status}); look at "
                "DATASPOKE_EMBEDDER__URL, __MODEL, __API_KEY and __DIMENSIONS.",
            ) from error
        except httpx.HTTPError as error:
            raise DependencyUnavailable(
                "embedder", "The embedding endpoint cannot be reached."
            ) from error
        return self._read(answer, len(batch))

    def _read(self, answer: httpx.Response, expected: int) -> Matrix:
        try:
            entries = sorted(answer.json()["data"], key=lambda entry: int(entry["index"]))
            rows = [np.asarray(entry["embedding"], dtype=np.float32) for entry in entries]
        except (ValueError, KeyError, TypeError) as error:
            raise DependencyRejected(
                "embedder", "The embedding endpoint did not answer as OpenAI's /embeddings does."
            ) from error
        if len(rows) != expected:
            raise DependencyRejected(
                "embedder",
                f"The embedding endpoint sent {len(rows)} vectors for {expected} texts.",
            )
        lengths = {row.shape for row in rows}
        if lengths != {(self._dimensions,)}:
            raise ConfigurationError(
                f"The model {self._model} sends vectors of shape {sorted(lengths)}, not of "
                f"{self._dimensions} numbers; set DATASPOKE_EMBEDDER__DIMENSIONS to its length."
            )
        return np.stack(rows)

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, httpx.HTTPStatusError):
            asked = retry_after_s(error.response.headers.get("retry-after"))
            if asked is not None:
                return min(asked, self._max_wait_s)
        return wait_random_exponential(multiplier=0.5, max=self._max_wait_s)(state)


def _may_pass(error: BaseException) -> bool:
    """Tell whether the same request may succeed later."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


def _unit(rows: Matrix) -> Matrix:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    # A text without tokens has no direction; it stays the zero vector, similar to nothing.
    result: Matrix = rows / np.maximum(norms, np.finfo(np.float32).tiny)
    return result
