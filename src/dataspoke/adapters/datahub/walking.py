"""Walks along lineage, step by step, while others fetch what lies at the edge. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dataspoke.catalogue import Reach
from dataspoke.urns import is_dataset

_JOB = "urn:li:dataJob:"


@dataclass(frozen=True, slots=True)
class Hop:
    """The neighbours of a node in one direction; ``whole`` is false where there are more."""

    urns: tuple[str, ...] = ()
    whole: bool = True


def is_on_the_way(urn: str) -> bool:
    """Tell whether a walk from dataset to dataset may lead through this entity."""
    return is_dataset(urn) or urn.startswith(_JOB)


@dataclass(slots=True)
class Walk:
    """The way from one dataset, nearest first. ``edge`` is what to step on from."""

    start: str
    limit: int
    edge: list[str] = field(init=False)
    _steps: dict[str, int] = field(init=False)
    _datasets: list[str] = field(init=False, default_factory=list)
    _cut: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.edge = [self.start]
        self._steps = {self.start: 0}

    def step(self, known: Mapping[str, Hop]) -> None:
        """Go on to the neighbours of the edge, all of which are known."""
        reached: list[str] = []
        for urn in self.edge:
            hop = known[urn]
            self._cut = self._cut or not hop.whole
            for neighbour in hop.urns:
                if neighbour not in self._steps:
                    self._steps[neighbour] = self._steps[urn] + 1
                    reached.append(neighbour)
        self._datasets += filter(is_dataset, reached)
        self.edge = reached if len(self._datasets) <= self.limit else []

    def reach(self) -> Reach:
        """Return the datasets seen so far."""
        kept = {urn: self._steps[urn] for urn in self._datasets[: self.limit]}
        complete = not self._cut and not self.edge and len(self._datasets) <= self.limit
        return Reach(kept, complete)
