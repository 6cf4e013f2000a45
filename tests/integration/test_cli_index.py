"""``dataspoke index`` on a real database and a stand-in hub that listens."""

import subprocess
from collections.abc import Mapping

from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.localhub.proposals import Proposal
from dataspoke.settings import StoreSettings
from tests.support.demo import PROGRAM, clean_environment
from tests.support.hub import running_hub
from tests.support.hub_ports import EDITOR, dataset_urn


def _reconcile(settings: Mapping[str, str]) -> str:
    ended = subprocess.run(
        [PROGRAM, "index", "reconcile", "--no-wait"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**clean_environment(), **settings},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def test_what_is_out_of_step_is_counted_and_asked_for(database_url: str) -> None:
    urns = [dataset_urn(f"t{number:03}") for number in range(130)]
    engine = create_engine(StoreSettings(url=database_url))
    store = PostgresStore(engine)
    with running_hub() as hub:
        hub.storage.write([Proposal(u, "datasetProperties", {"name": u}) for u in urns], EDITOR)
        settings = {
            "DATASPOKE_HUB__URL": hub.url,
            "DATASPOKE_HUB__TOKEN": "service-token",
            "DATASPOKE_STORE__URL": database_url,
            "DATASPOKE_EMBEDDER__KIND": "none",
        }
        assert _reconcile(settings) == (
            "Datasets in DataHub: 130. Out of step: 130 snapshots in PostgreSQL, 130 documents in "
            "the search index. Left DataHub: 0.\n"
        )
    waiting = await store.index_requests(200, background=True)
    assert sorted(request.urn for request in waiting) == urns
    await engine.dispose()
