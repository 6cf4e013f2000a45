import json

import pytest

from dataspoke.errors import InvalidInput
from dataspoke.localhub.access import Role, User, read_users


def _users_file(path, *entries):
    path.write_text(json.dumps(entries))
    return path


def test_a_file_of_users_names_them_by_their_tokens(tmp_path):
    users = read_users(
        _users_file(
            tmp_path / "users.json",
            {"urn": "urn:li:corpuser:ed", "role": "editor", "token": "a"},
            {"urn": "urn:li:corpuser:vi", "token": "b", "hidden": ["*x*"], "unprofiled": ["*y*"]},
        )
    )

    assert users == {
        "a": User("urn:li:corpuser:ed", Role.EDITOR),
        "b": User("urn:li:corpuser:vi", Role.VIEWER, ("*x*",), ("*y*",)),
    }


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"urn": "urn:li:corpuser:a", "role": "root", "token": "s3cret"}, r"0\.role: .*'admin'"),
        ({"urn": "ann", "token": "s3cret"}, r"0\.urn"),
        ({"urn": "urn:li:corpuser:a", "token": "s3cret", "hiden": []}, r"0\.hiden"),
        ({"urn": "urn:li:corpuser:a", "token": ""}, r"0\.token"),
        ("s3cret", "is no list of users: 0"),
    ],
)
def test_a_faulty_file_of_users_is_refused_and_no_token_repeated(tmp_path, entry, message):
    with pytest.raises(InvalidInput, match=message) as refused:
        read_users(_users_file(tmp_path / "users.json", entry))

    assert "s3cret" not in refused.value.public_message


def test_a_token_of_two_users_is_refused(tmp_path):
    entries = [{"urn": f"urn:li:corpuser:{name}", "token": "s3cret"} for name in "ab"]

    with pytest.raises(InvalidInput, match="one token to two users") as refused:
        read_users(_users_file(tmp_path / "users.json", *entries))

    assert "s3cret" not in refused.value.public_message


def test_a_missing_file_of_users_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"absent\.json cannot be read: No such file"):
        read_users(tmp_path / "absent.json")


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
