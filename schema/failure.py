"""Why a mutation did nothing: failures that a caller can act on, as members of its result."""

from typing import Any

import strawberry
from strawberry.types.field import StrawberryField

from dataspoke import errors

_MESSAGE = "What went wrong and what to do about it."


@strawberry.type(description="The arguments cannot be used.")
class InvalidInputFailure:
    message: str = strawberry.field(description=_MESSAGE)


@strawberry.type(description="The caller lacks a privilege.")
class ForbiddenFailure:
    message: str = strawberry.field(description=_MESSAGE)


@strawberry.type(description="There is no such thing, or the caller may not know that there is.")
class NotFoundFailure:
    message: str = strawberry.field(description=_MESSAGE)


@strawberry.type(description="The thing is not in a state that allows this.")
class ConflictFailure:
    message: str = strawberry.field(description=_MESSAGE)


class OnInvalidInput(strawberry.ExceptionHandler[errors.InvalidInput, InvalidInputFailure]):
    def handle(
        self, exception: errors.InvalidInput, *, field: StrawberryField, info: Any
    ) -> InvalidInputFailure:
        return InvalidInputFailure(message=exception.public_message)


class OnForbidden(strawberry.ExceptionHandler[errors.Forbidden, ForbiddenFailure]):
    def handle(
        self, exception: errors.Forbidden, *, field: StrawberryField, info: Any
    ) -> ForbiddenFailure:
        return ForbiddenFailure(message=exception.public_message)


class OnNotFound(strawberry.ExceptionHandler[errors.NotFound, NotFoundFailure]):
    def handle(
        self, exception: errors.NotFound, *, field: StrawberryField, info: Any
    ) -> NotFoundFailure:
        return NotFoundFailure(message=exception.public_message)


class OnConflict(strawberry.ExceptionHandler[errors.Conflict, ConflictFailure]):
    def handle(
        self, exception: errors.Conflict, *, field: StrawberryField, info: Any
    ) -> ConflictFailure:
        return ConflictFailure(message=exception.public_message)


HANDLERS = (OnInvalidInput(), OnForbidden(), OnNotFound(), OnConflict())
