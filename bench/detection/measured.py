"""What a detector costs: each runs in a process of its own, alone."""

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.detection.corpus import Labelled
from bench.detection.methods import COMMANDS, METHODS, Scores


@dataclass(frozen=True, slots=True)
class Run:
    """The scores of a detector, by what they are called, and what they cost on one core."""

    scores: dict[str, Scores]
    elapsed_s: float
    peak_memory_mb: float


def run(method: str, folder: Path, corpus: Sequence[Labelled]) -> Run:
    """Return what a method of ``METHODS`` says of each series, and what that cost."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as alone:
        return alone.submit(_run, method, folder, corpus).result()


def _run(method: str, folder: Path, corpus: Sequence[Labelled]) -> Run:
    began = time.perf_counter()
    scores = dict(METHODS[method](folder, corpus))
    elapsed_s = time.perf_counter() - began
    return Run(scores, elapsed_s, machine.peak_memory_mb(of_children=method in COMMANDS))
