"""What the demo's stand-in hub holds: the sample bookshop, or a file of the user's."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataspoke.errors import ConfigurationError
from dataspoke.localhub import sample
from dataspoke.localhub.files import read_metadata_file
from dataspoke.localhub.records import Topic, now_ms
from dataspoke.localhub.storage import Storage

_SAMPLE = "bookshop"
# The sample's table with the most to say: half its rows are missing since yesterday.
_SAMPLE_FEATURED = "urn:li:dataset:(urn:li:dataPlatform:snowflake,analytics.marts.fct_sales_d,PROD)"
# Its tables are loaded once a day; without a load for longer they are late.
_SAMPLE_KEEPS = timedelta(hours=20)
_LOADED_BY = "urn:li:corpuser:datahub"

Say = Callable[[str], None]


def folder_of(directory: Path, source: Path | None) -> Path:
    """Return where a catalogue's data lie: each has a folder, so that none gets into another's.

    ``source`` None is the sample. Raises ConfigurationError where the file cannot be read.
    """
    if source is None:
        return directory / _SAMPLE
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read: {error.strerror}.") from error
    return directory / f"{source.stem}-{hashlib.sha256(content).hexdigest()[:8]}"


def fill(data: Path, source: Path | None, say: Say) -> str:
    """Load the hub's data file at the first start; returns the urn of the dataset to show.

    All of it or nothing is loaded. ``say`` is told what is going on. Raises InvalidInput for a file
    that is no metadata, ConfigurationError for one without a dataset.
    """
    if data.exists():
        with Storage.open(data) as storage:
            if found := storage.urns("dataset"):
                (loaded,) = storage.events(Topic.VERSIONED, after=0, limit=1)
                age = timedelta(milliseconds=now_ms() - loaded.created_ms)
                if source is None and age > _SAMPLE_KEEPS:
                    say(
                        f"The bookshop was made {age / timedelta(hours=1):.0f} hours ago and has "
                        "had no loads since, so expect alerts about freshness; remove "
                        f"{data.parent} to make it anew."
                    )
                return _featured(storage, found)
    # What a start left that was cut off has nothing in it.
    shutil.rmtree(data.parent, ignore_errors=True)
    say("Reading the metadata …")
    if source is not None:
        proposals = read_metadata_file(source)
    else:
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "bookshop.json"
            sample.write(sample.generate(end=datetime.now(UTC)), written)
            proposals = read_metadata_file(written)
    if not any(proposal.urn.startswith("urn:li:dataset:") for proposal in proposals):
        raise ConfigurationError(f"{source} holds no dataset, so there is nothing to judge.")
    say(f"Loading {len(proposals):,} aspects into the stand-in hub …")
    with Storage.open(data) as storage:
        storage.write(proposals, _LOADED_BY)
        found = storage.urns("dataset")
        say(f"The stand-in hub holds {len(found)} datasets.")
        return _featured(storage, found)


def _featured(storage: Storage, urns: list[str]) -> str:
    if _SAMPLE_FEATURED in urns:
        return _SAMPLE_FEATURED
    aspects = storage.aspects(urns)
    return max(urns, key=lambda urn: len(aspects.get(urn, ())))
