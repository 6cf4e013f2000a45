"""The supergraph of DataHub's whole interface and DataSpoke's SDL, as the gateway composes it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import pytest
from graphql import (
    EnumTypeDefinitionNode,
    GraphQLSchema,
    StringValueNode,
    TypeDefinitionNode,
    build_schema,
    extend_schema,
    introspection_from_schema,
    parse,
    validate,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dataspoke.localhub import interface
from dataspoke.settings import SubgraphSettings
from tests.support.gateway import run_script
from tests.support.hub import running_hub
from tests.support.serving import serving

# What the server for agents asks, and how long the subgraph lets it be.
AGENT_FOLDER = resources.files("dataspoke.mcp")
AGENT_DOCUMENTS = sorted(
    entry.name for entry in AGENT_FOLDER.iterdir() if entry.name.endswith(".graphql")
)
MAX_TOKENS = SubgraphSettings().max_tokens

# What both sides may define. A type more is a merge that nobody meant.
SHARED = {"Query", "Mutation", "Dataset", "String", "Boolean", "Int", "Float", "ID"}


@contextmanager
def hub_with(schema: GraphQLSchema, status: int = 200) -> Iterator[str]:
    """Yield the address of a hub that has this schema and nothing else."""
    answer = {"data": introspection_from_schema(schema)}

    async def introspect(_: Request) -> Response:
        return JSONResponse(answer, status)

    with serving(Starlette(routes=[Route("/api/graphql", introspect, methods=["POST"])])) as hub:
        yield hub.url


def datahub_and(sdl: str) -> GraphQLSchema:
    return extend_schema(interface.build_schema(), parse(sdl))


def refused(hub_url: str, out: Path) -> str:
    """Return why nothing is composed with this hub."""
    done = run_script("compose.mjs", "--hub", hub_url, "--out", str(out))
    assert done.returncode == 1
    assert not out.exists()
    assert "    at " not in done.stderr  # no trace
    return done.stderr


@pytest.fixture(scope="module")
def supergraph(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("composed") / "new folder" / "supergraph.graphql"
    with running_hub() as hub:
        done = run_script(
            *("compose.mjs", "--hub", f"{hub.url}/", "--out", str(out)),
            env={"DATASPOKE_HUB__TOKEN": "viewer-token"},
        )
    assert done.returncode == 0, done.stderr
    return out.read_text()


def test_it_composes_with_datahubs_whole_interface(supergraph: str) -> None:
    types = {
        node.name.value
        for node in parse(supergraph).definitions
        if isinstance(node, TypeDefinitionNode)
    }
    theirs = set(interface.build_schema().type_map)
    ours = set(build_schema_of_dataspoke().type_map)
    introspection = {name for name in theirs if name.startswith("__")}
    federation = {"_Any", "_Entity", "_Service"}
    scalars = {"String", "Boolean", "Int", "Float", "ID"}
    assert theirs | ours <= types | introspection | federation | scalars


def test_it_shares_no_type_and_no_field_but_the_key(supergraph: str) -> None:
    document = parse(supergraph)
    shared_types, shared_fields = set(), set()
    for node in document.definitions:
        if not isinstance(node, TypeDefinitionNode):
            continue
        graphs = {graph for graph in map(graph_of, node.directives or ()) if graph}
        if len(graphs) > 1:
            shared_types.add(node.name.value)
            shared_fields |= {
                f"{node.name.value}.{field.name.value}"
                for field in getattr(node, "fields", None) or ()
                # A field of one side alone names it.
                if not any(d.name.value == "join__field" for d in field.directives or ())
            }
    assert shared_types == {"Query", "Mutation", "Dataset"}
    assert shared_fields == {"Dataset.urn"}


def graph_of(directive: object) -> str | None:
    if getattr(getattr(directive, "name", None), "value", "") != "join__type":
        return None
    for argument in getattr(directive, "arguments", ()):
        if argument.name.value == "graph":
            return str(argument.value.value)
    return None


def build_schema_of_dataspoke() -> GraphQLSchema:
    sdl = (Path(__file__).parents[2] / "schema" / "subgraph.graphql").read_text()
    return build_schema(sdl, assume_valid_sdl=True)


@pytest.mark.parametrize("name", AGENT_DOCUMENTS)
def test_what_is_asked_for_agents_fits_it(supergraph: str, name: str) -> None:
    document = parse(AGENT_FOLDER.joinpath(name).read_text(), max_tokens=MAX_TOKENS)
    schema = build_schema(supergraph, assume_valid=True)
    assert validate(schema, document) == []


def test_it_holds_no_address(supergraph: str) -> None:
    graphs = next(
        node
        for node in parse(supergraph).definitions
        if isinstance(node, EnumTypeDefinitionNode) and node.name.value == "join__Graph"
    )
    urls = [
        argument.value.value
        for value in graphs.values or ()
        for directive in value.directives or ()
        for argument in directive.arguments or ()
        if argument.name.value == "url" and isinstance(argument.value, StringValueNode)
    ]
    assert urls
    assert all(".invalid/" in url for url in urls)


def test_every_name_that_both_define_is_refused(tmp_path: Path) -> None:
    colliding = """
        type QualityAlert { id: ID }
        enum QualityStatus { PASS }
        input KnowledgeSearchFilters { platforms: [String!] }
        scalar DateTime
        union RequestScanResult = QualityAlert
        extend type Query { knowledgeSearch: String }
        extend type Mutation { requestScan: String }
        extend type Dataset { quality: String }
        type Subscription { qualityAlerts: String }
        extend schema { subscription: Subscription }
    """
    with hub_with(datahub_and(colliding)) as url:
        message = refused(url, tmp_path / "supergraph.graphql")
    first, *names, fix = message.splitlines()
    assert "share names" in first
    assert sorted(names) == [
        "  field Dataset.quality",
        "  field Mutation.requestScan",
        "  field Query.knowledgeSearch",
        "  field Subscription.qualityAlerts",
        "  type DateTime",
        "  type KnowledgeSearchFilters",
        "  type QualityAlert",
        "  type QualityStatus",
        "  type RequestScanResult",
    ]
    assert fix.startswith("Rename them")


def test_names_of_a_newer_datahub_that_collide_with_nothing_are_taken(tmp_path: Path) -> None:
    schema = datahub_and("type Brandnew { id: ID } extend type Dataset { brandnew: Brandnew }")
    out = tmp_path / "supergraph.graphql"
    with hub_with(schema) as url:
        done = run_script("compose.mjs", "--hub", url, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "brandnew: Brandnew" in out.read_text()


def test_what_is_no_datahub_is_named(tmp_path: Path) -> None:
    with hub_with(build_schema("type Query { dataset: String }")) as url:
        message = refused(url, tmp_path / "supergraph.graphql")
    assert f"What answers at {url}/api/graphql is no DataHub" in message
    assert "DATASPOKE_HUB__URL" in message


def test_a_token_that_the_hub_refuses_is_named(tmp_path: Path) -> None:
    with running_hub() as hub:
        message = refused(hub.url, tmp_path / "supergraph.graphql")
    assert "DATASPOKE_HUB__TOKEN" in message


def test_a_hub_that_is_still_starting_is_waited_for(tmp_path: Path) -> None:
    answers = iter([503, 502])

    async def starting(_: Request) -> Response:
        data = introspection_from_schema(interface.build_schema())
        return JSONResponse({"data": data}, next(answers, 200))

    out = tmp_path / "supergraph.graphql"
    with serving(Starlette(routes=[Route("/api/graphql", starting, methods=["POST"])])) as hub:
        done = run_script("compose.mjs", "--hub", hub.url, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "answers HTTP 503. Waiting up to 60 s" in done.stderr
    assert out.exists()


def test_the_supergraph_composed_last_serves_while_the_hub_is_down(tmp_path: Path) -> None:
    out = tmp_path / "supergraph.graphql"
    with hub_with(interface.build_schema()) as url:
        assert run_script("compose.mjs", "--hub", url, "--out", str(out)).returncode == 0
        composed = out.read_text()
        again = run_script("compose.mjs", "--hub", url, "--out", str(out))
        assert "up to date" in again.stderr
    down = run_script("compose.mjs", "--hub", url, "--out", str(out))
    assert down.returncode == 0
    assert "does not answer" in down.stderr
    assert f"Going on with the supergraph composed last: {out}" in down.stderr
    assert out.read_text() == composed


def test_the_supergraph_of_another_dataspoke_does_not_serve(tmp_path: Path) -> None:
    out = tmp_path / "supergraph.graphql"
    out.write_text("# composed of: hub 00 dataspoke 00\nscalar Old\n")
    with hub_with(interface.build_schema()) as url:
        done = run_script("compose.mjs", "--hub", url, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "scalar Old" not in out.read_text()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    out = tmp_path / "taken" / "supergraph.graphql"
    with hub_with(interface.build_schema()) as url:
        message = refused(url, out)
    assert "DATASPOKE_GATEWAY__SUPERGRAPH" in message


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"DATASPOKE_GATEWAY__PORT": "http"}, "DATASPOKE_GATEWAY__PORT is http: give a port"),
        ({"DATASPOKE_HUB__URL": "localhost:8080"}, "DATASPOKE_HUB__URL is no address"),
        ({"DATASPOKE_HUB__URL": "http://me:secret@hub"}, "DATASPOKE_HUB__URL holds a password"),
        ({"DATASPOKE_GATEWAY__SUBGRAPH_URL": "x"}, "DATASPOKE_GATEWAY__SUBGRAPH_URL is no address"),
        ({"DATASPOKE_HUB__TIMEOUT_S": "soon"}, "DATASPOKE_HUB__TIMEOUT_S is soon: give seconds"),
        ({"DATASPOKE_SUBGRAPH__GATEWAY_SECRET": "a b"}, "DATASPOKE_SUBGRAPH__GATEWAY_SECRET holds"),
        ({"DATASPOKE_ENVIRONMENT": "test"}, "DATASPOKE_ENVIRONMENT is test"),
    ],
)
def test_a_wrong_setting_is_told_in_a_line(settings: dict[str, str], said: str) -> None:
    started = run_script("start.mjs", env=settings)
    assert started.returncode == 1
    (line,) = started.stderr.splitlines()
    assert line.startswith(said)
    assert "secret" not in line


def test_an_address_that_cannot_be_listened_on_is_told_in_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        started = run_script("start.mjs", env={"DATASPOKE_GATEWAY__PORT": port})
    assert started.returncode == 1
    (line,) = started.stderr.splitlines()
    assert line.startswith(f"127.0.0.1:{port} is taken")
    assert "DATASPOKE_GATEWAY__PORT" in line


def test_production_wants_every_setting_that_has_no_safe_default() -> None:
    started = run_script(
        "start.mjs",
        env={"DATASPOKE_ENVIRONMENT": "production", "DATASPOKE_GATEWAY__DEMO_TOKEN": "x"},
    )
    assert started.returncode == 1
    assert [line.split()[0] for line in started.stderr.splitlines()] == [
        "DATASPOKE_HUB__URL",
        "DATASPOKE_HUB__TOKEN",
        "DATASPOKE_SUBGRAPH__GATEWAY_SECRET",
        "DATASPOKE_GATEWAY__DEMO_TOKEN",
    ]
