"""docker-compose.yml against the Compose specification; no Docker engine is needed."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

from dataspoke.embedded.weaviate import TUNING, VERSION
from dataspoke.settings import Settings, described

ROOT = Path(__file__).parents[2]


def test_the_compose_file_fits_the_specification() -> None:
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", str(ROOT / "docker-compose.yml")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_it_sets_only_settings_that_exist() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    known = {setting.variable for setting in described(Settings())}
    for name in ("subgraph", "worker", "migrate", "mcp"):
        assert set(services[name]["environment"]) <= known


def test_the_server_for_agents_holds_no_secret() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert all(name.startswith("DATASPOKE_MCP__") for name in services["mcp"]["environment"])


def test_it_searches_in_the_weaviate_that_the_tests_run() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    weaviate, ours = services["weaviate"], services["worker"]["environment"]
    assert weaviate["image"].endswith(f":{VERSION}")
    given = weaviate["environment"]
    assert given["AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED"] == "false"
    assert given["AUTHENTICATION_APIKEY_ALLOWED_KEYS"] == ours["DATASPOKE_VECTORS__API_KEY"]
    assert ours["DATASPOKE_VECTORS__URL"] == "http://weaviate:8080"
    assert given["PERSISTENCE_DATA_PATH"] in weaviate["volumes"][0]
    assert "ports" not in weaviate
    for name in ("subgraph", "worker"):
        assert services[name]["depends_on"]["weaviate"] == {"condition": "service_healthy"}
    # What search relies on is the same wherever it runs.
    assert given.items() >= TUNING.items()


def test_the_gateway_is_given_all_that_it_asks_for_in_production() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    given = set(services["gateway"]["environment"])
    read = set(re.findall(r"'(DATASPOKE_\w+)'", (ROOT / "gateway" / "settings.mjs").read_text()))
    assert given <= read
    assert given >= {
        "DATASPOKE_ENVIRONMENT",
        "DATASPOKE_HUB__URL",
        "DATASPOKE_HUB__TOKEN",
        "DATASPOKE_SUBGRAPH__GATEWAY_SECRET",
        "DATASPOKE_GATEWAY__SUBGRAPH_URL",
        "DATASPOKE_GATEWAY__HOST",
    }


def test_the_gateways_page_of_settings_names_each_that_it_reads() -> None:
    read = set(re.findall(r"'(DATASPOKE_\w+)'", (ROOT / "gateway" / "settings.mjs").read_text()))
    page = (ROOT / "gateway" / "README.md").read_text()
    assert set(re.findall(r"^\| `(DATASPOKE_\w+)` \|", page, re.M)) == read
