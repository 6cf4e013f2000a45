"""Building Weaviate: what is said where it cannot be, and where it is there."""

from pathlib import Path

import pytest

from dataspoke.embedded import weaviate
from dataspoke.errors import ConfigurationError, DependencyUnavailable


def test_what_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"make weaviate.*DATASPOKE_VECTORS__URL"):
        weaviate.program(tmp_path)


def test_it_needs_go_and_says_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyUnavailable, match=r"Go is not installed.*go\.dev"):
        weaviate.build(tmp_path / "weaviate", lambda _: None)
    assert not (tmp_path / "weaviate").exists()


def test_a_missing_go_is_an_error_under_ci_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    assert weaviate.main() == 0
    assert "Go is not installed" in capsys.readouterr().err
    monkeypatch.setenv("CI", "true")
    assert weaviate.main() == 1


def test_a_build_that_fails_leaves_nothing_and_says_what_go_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho 'no such module' >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(DependencyUnavailable, match="no such module"):
        weaviate.build(tmp_path / "built", lambda _: None)
    assert list((tmp_path / "built").iterdir()) == []


def test_it_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text(
        '#!/bin/sh\necho "$@" >> "$0.log"\n'
        'printf "#!/bin/sh\\n" > "$GOBIN/weaviate-server"\nchmod +x "$GOBIN/weaviate-server"\n'
    )
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    said: list[str] = []
    for _ in range(2):
        weaviate.build(tmp_path / "built", said.append)
    (command,) = (tmp_path / "go.log").read_text().splitlines()
    assert command.endswith(f"weaviate-server@v{weaviate.VERSION}")
    assert said[-1].endswith("weaviate-server")
    assert weaviate.program(tmp_path / "built").exists()
