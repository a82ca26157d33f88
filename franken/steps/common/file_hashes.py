"""Files enter a key by their contents."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from franken.config.base_model import LoadedModel
from franken.config.eval_suite import EvalSuiteConfig, LmEvalSuite, SuiteConfig
from franken.data.origin import PACKAGE
from franken.errors import DataError
from franken.files import sampled_hash, sha256_file
from franken.parts.hub import MODEL_FILES, resolve_checkpoint


def whole_hash(path: Path, key: str) -> str:
    """SHA-256 of a file that the option ``key`` names.

    Raises:
        DataError: when it is not there.
    """
    if not path.is_file():
        raise DataError(f"{key}: {path} is no file (looked in {Path.cwd()}); check the path")
    return sha256_file(path)


def hash_or_missing(path: str) -> str:
    """Hash of size and sampled blocks; ``missing`` is left for the step itself to complain of."""
    file = Path(path).expanduser()
    return sampled_hash(file) if path and file.is_file() else "missing"


def checkpoint_hash(model: LoadedModel) -> dict[str, str]:
    """File name -> hash of its size and of sampled blocks, for the files that make the model."""
    directory = resolve_checkpoint(model.path, model.revision)
    if directory.is_file():
        return {"gguf": sampled_hash(directory)}
    files = sorted({file for pattern in MODEL_FILES for file in directory.glob(pattern)})
    return {file.name: sampled_hash(file) for file in files}


def hydra_hash(path: str) -> dict[str, str]:
    """File -> hash of its size and of sampled blocks, for the parts of a Hydra LLM's directory.

    Raises:
        DataError: when there is none.
    """
    directory = Path(path).expanduser()
    if not (directory / "hydra.json").is_file():
        raise DataError(
            f"path={path!r} is no directory of a Hydra LLM: it has no hydra.json (looked in "
            f"{Path.cwd()}); give what recipe.export or save_hydra wrote"
        )
    parts = [*directory.glob("body/*"), *directory.glob("tables/[!.]*/*")]
    files = sorted(file for file in (directory / "hydra.json", *parts) if file.is_file())
    return {file.relative_to(directory).as_posix(): sampled_hash(file) for file in files}


def harness_hash(suite: LmEvalSuite) -> dict[str, Any]:
    """Version of lm-evaluation-harness, its local task files, and the data files these name."""
    try:
        installed = version("lm_eval")
    except PackageNotFoundError:
        installed = "missing"  # the step itself complains
    tasks = [Path(place).expanduser() for place in suite.include_path]
    return {
        "lm_eval": installed,
        "tasks": [_tree_hash(place) for place in tasks],
        "data": {
            name: hash_or_missing(name) for place in tasks for name in sorted(_data_files(place))
        },
        "local": {name: _tree_hash(Path(place)) for name, place in sorted(suite.local.items())},
    }


def _tree_hash(directory: Path) -> dict[str, str]:
    """Files below a directory -> hash of size and sampled blocks; hidden and cached ones apart."""
    directory = directory.expanduser()
    files = (file.relative_to(directory) for file in sorted(directory.rglob("*")) if file.is_file())
    return {
        file.as_posix(): sampled_hash(directory / file)
        for file in files
        if not any(part.startswith((".", "__pycache__")) for part in file.parts)
    }


def _data_files(directory: Path) -> set[str]:
    """Data files that the task files of a directory name."""
    found: set[str] = set()
    for file in directory.rglob("*.y*ml"):
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_TaskLoader)
        kwargs = content.get("dataset_kwargs") if isinstance(content, dict) else None
        named = (kwargs or {}).get("data_files") or {}
        for value in named.values() if isinstance(named, dict) else [named]:
            found |= set(map(str, value)) if isinstance(value, list) else {str(value)}
    return found


class _TaskLoader(yaml.SafeLoader):
    """Reads task files without running the functions that they name."""


_TaskLoader.add_multi_constructor("!", lambda loader, suffix, node: suffix)


def texts_hash(suite: SuiteConfig) -> dict[str, Any]:
    """Contents of the files that tasks name instead of a role; nothing where none does."""
    tasks = suite.tasks.values() if isinstance(suite, EvalSuiteConfig) else ()
    places = sorted({place for task in tasks for place in task.texts.values()})
    found = {place: hash_or_missing(place.replace("{package}", str(PACKAGE))) for place in places}
    return {"texts": found} if found else {}
