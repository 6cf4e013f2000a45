"""Pages of a list, as Relay describes connections."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeAlias, TypeVar

import strawberry

Node = TypeVar("Node")
Source = TypeVar("Source")

After: TypeAlias = Annotated[
    str | None,
    strawberry.argument(description="Start behind the item with this cursor; null for the start."),
]
First: TypeAlias = Annotated[
    int, strawberry.argument(description="How many items to return at most, 1 to 100.")
]


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether items follow this page.")
    has_previous_page: bool = strawberry.field(
        description="Whether the page was asked for with a cursor to start behind."
    )
    start_cursor: str | None = strawberry.field(
        description="Cursor of the first item; null where the page is empty."
    )
    end_cursor: str | None = strawberry.field(
        description="Cursor of the last item, to pass as `after`; null where the page is empty."
    )


@strawberry.type(description="An item of a list and where it stands.")
class Edge(Generic[Node]):
    cursor: str = strawberry.field(description="Opaque place of this item in the list.")
    node: Node = strawberry.field(description="The item.")


@strawberry.type(description="One page of a list.")
class Connection(Generic[Node]):
    edges: list[Edge[Node]] = strawberry.field(description="The items of this page, in order.")
    page_info: PageInfo = strawberry.field(description="Where this page stands in the list.")


def edges(
    items: Sequence[Source], cursors: Sequence[str], node: Callable[[Source], Node]
) -> list[Edge[Node]]:
    """Return an edge for each item; items and cursors are of equal length."""
    return [
        Edge(cursor=cursor, node=node(item)) for item, cursor in zip(items, cursors, strict=True)
    ]


def page_info(cursors: Sequence[str], *, has_next: bool, after: str | None) -> PageInfo:
    return PageInfo(
        has_next_page=has_next,
        has_previous_page=after is not None,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )
