"""Who may do what at the stand-in: bearer tokens name users, users have a role."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import HTTPConnection

from dataspoke.errors import Forbidden, InvalidInput, Unauthenticated


class Role(StrEnum):
    """What a user may do.

    A viewer reads, an editor writes metadata too, a service reads the change log besides (as
    DataSpoke itself must), and an admin may do everything.
    """

    ADMIN = "admin"
    SERVICE = "service"
    EDITOR = "editor"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class User:
    """A user of the stand-in. Patterns are shell patterns over dataset urns.

    ``hidden`` are the datasets they may not see at all, ``unprofiled`` those whose profiles,
    usage and operations they may not see.
    """

    urn: str
    role: Role = Role.VIEWER
    hidden: tuple[str, ...] = ()
    unprofiled: tuple[str, ...] = ()

    @property
    def can_edit(self) -> bool:
        return self.role is not Role.VIEWER

    @property
    def can_manage(self) -> bool:
        return self.role is Role.ADMIN

    @property
    def can_read_events(self) -> bool:
        return self.role in (Role.ADMIN, Role.SERVICE)

    def may_see(self, urn: str) -> bool:
        return not any(fnmatchcase(urn, pattern) for pattern in self.hidden)

    def may_see_profile(self, urn: str) -> bool:
        return self.may_see(urn) and not any(
            fnmatchcase(urn, pattern) for pattern in self.unprofiled
        )


class _Listed(BaseModel):
    """One entry of a users file."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    urn: str = Field(pattern=r"^urn:li:corpuser:.+$")
    role: Role = Role.VIEWER
    token: str = Field(min_length=1)
    hidden: tuple[str, ...] = ()
    unprofiled: tuple[str, ...] = ()


def read_users(path: Path) -> dict[str, User]:
    """Return the users of a file by their tokens.

    It holds a JSON list of objects with ``urn`` and ``token``, and optionally ``role``, ``hidden``
    and ``unprofiled`` as in ``User``. Raises InvalidInput, which repeats no token.
    """
    try:
        listed = TypeAdapter(list[_Listed]).validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidInput(f"{path} is no list of users: {'; '.join(faults)}.") from error
    if len({entry.token for entry in listed}) < len(listed):
        raise InvalidInput(f"{path} gives one token to two users.")
    return {
        entry.token: User(entry.urn, entry.role, entry.hidden, entry.unprofiled) for entry in listed
    }


class Access:
    """The users of the stand-in by their bearer tokens."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = dict(users)

    def user(self, connection: HTTPConnection) -> User:
        """Return who sent the request; raises Unauthenticated without a token that is known."""
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        user = self._users.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise Unauthenticated("Send a token of this hub: Authorization: Bearer …")
        return user

    def require_visible(self, user: User, urn: str) -> None:
        """Raise Forbidden where the user may not see what a urn names."""
        if not user.may_see(urn):
            raise Forbidden(f"{user.urn} may not see {urn}.")

    def editor(self, connection: HTTPConnection) -> User:
        """Return who sent the request; raises Forbidden where they may not write."""
        user = self.user(connection)
        if not user.can_edit:
            raise Forbidden(f"{user.urn} may not write metadata; it takes an editor or an admin.")
        return user
