import pytest

from dataspoke.errors import InvalidInput
from dataspoke.localhub.access import Role, User, parse_token


@pytest.mark.parametrize(
    ("option", "token", "user"),
    [
        ("editor=abc", "abc", User("urn:li:corpuser:editor", Role.EDITOR)),
        ("viewer:ann=a=b", "a=b", User("urn:li:corpuser:ann", Role.VIEWER)),
        ("service= x ", "x", User("urn:li:corpuser:service", Role.SERVICE)),
    ],
)
def test_a_token_names_its_user(option, token, user):
    assert parse_token(option) == (token, user)


@pytest.mark.parametrize("option", ["", "editor", "editor=", "root=s3cret", "=s3cret"])
def test_a_token_without_a_role_is_refused_and_not_repeated(option):
    with pytest.raises(InvalidInput, match="roles: admin, service, editor, viewer") as refused:
        parse_token(option)

    assert "s3cret" not in refused.value.public_message


@pytest.mark.parametrize(
    ("role", "edits", "reads_events", "manages"),
    [
        (Role.ADMIN, True, True, True),
        (Role.SERVICE, True, True, False),
        (Role.EDITOR, True, False, False),
        (Role.VIEWER, False, False, False),
    ],
)
def test_roles_allow_what_they_say(role, edits, reads_events, manages):
    user = User("urn:li:corpuser:x", role)

    assert (user.can_edit, user.can_read_events, user.can_manage) == (edits, reads_events, manages)


def test_what_is_hidden_has_no_profile_either():
    user = User("urn:li:corpuser:x", hidden=("*secret*",), unprofiled=("*payroll*",))

    assert [user.may_see(urn) for urn in ("secret", "payroll", "plain")] == [False, True, True]
    assert [user.may_see_profile(urn) for urn in ("secret", "payroll", "plain")] == [
        False, False, True,
    ]  # fmt: skip
