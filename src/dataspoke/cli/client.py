"""The command line as a client of the GraphQL API."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from dataspoke.errors import (
    DependencyRejected,
    DependencyUnavailable,
    InvalidInput,
    Unauthenticated,
)

_TIMEOUT_S = 60
_DEFAULT_URL = "http://127.0.0.1:4000/graphql"

Url = Annotated[str | None, typer.Option(help="GraphQL address; DATASPOKE_URL or the demo's else.")]
Token = Annotated[
    str | None, typer.Option(help="Token of DataHub; DATASPOKE_TOKEN or the demo's else.")
]
Demo = Annotated[Path, typer.Option("--directory", help="Folder of a demo that runs here.")]


def ask(
    url: str, token: str, query: str, variables: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the data of the answer; raises where it has errors, naming the first.

    Raises Unauthenticated, InvalidInput, DependencyUnavailable or DependencyRejected.
    """
    try:
        response = httpx.post(
            url,
            json={"query": query, "variables": dict(variables or {})},
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=_TIMEOUT_S,
        )
        answer = response.json()
    except httpx.HTTPError as error:
        raise DependencyUnavailable(
            "gateway", f"{url} does not answer ({error}). Is it running? Name another with --url."
        ) from error
    except json.JSONDecodeError as error:
        raise DependencyRejected(
            "gateway", f"{url} answered with status {response.status_code} and no JSON."
        ) from error
    if errors := answer.get("errors"):
        raise _failure(url, errors[0])
    data: dict[str, Any] = answer["data"]
    return data


def _failure(url: str, error: Mapping[str, Any]) -> Exception:
    message = error.get("message", "it gave no reason")
    code = error.get("extensions", {}).get("code")
    if code == Unauthenticated.code:
        return Unauthenticated(f"{message} Give a token of DataHub: --token or DATASPOKE_TOKEN.")
    if code == InvalidInput.code:
        return InvalidInput(message)
    return DependencyRejected("gateway", f"{url} answered: {message}")


def address_and_token(
    url: str | None, token: str | None, directory: Path, role: str
) -> tuple[str, str]:
    """Return where to ask and as whom.

    What is not given comes from DATASPOKE_URL and DATASPOKE_TOKEN, else from a demo that runs in
    ``directory`` (as the user ``role``), else the gateway's usual address and no token.
    """
    url, token = url or os.environ.get("DATASPOKE_URL"), token or os.environ.get("DATASPOKE_TOKEN")
    try:
        running = json.loads((directory / "demo.json").read_text())
    except FileNotFoundError:
        return url or _DEFAULT_URL, token or ""
    demo_url = f"{running['gateway']}/graphql"
    if url is None or url == demo_url:
        return demo_url, token or running["tokens"][role]
    return url, token or ""
