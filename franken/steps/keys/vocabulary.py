"""Keys of steps that make a vocabulary and the first rows of its table."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from franken.config.alignment import FilesAlignment
from franken.config.base_model import LoadedModel
from franken.config.helper_model import CheckpointHelper
from franken.config.root import Config
from franken.config.steps import AlignStep, BuildVocabStep, HelperStep, InitialiseStep, VectorsStep
from franken.config.training import TrainingConfig
from franken.config.word_vectors import VectorFiles
from franken.errors import DataError
from franken.files import sampled_hash
from franken.init_method.base import InitMethod
from franken.steps.keys.common import precision_of, split_of, texts, training_options
from franken.steps.keys.files import checkpoint_hash, hash_or_missing, whole_hash


def build_vocab(step: BuildVocabStep, config: Config) -> dict[str, Any]:
    """The builder and the text it learns from."""
    return {"vocab": asdict(step.vocab), "data": texts(step.data)}


def align(step: AlignStep, config: Config) -> dict[str, Any]:
    """Files made elsewhere enter by their contents, and then the data's text does not count."""
    content = asdict(step.alignment)
    if not isinstance(step.alignment, FilesAlignment):
        return {"alignment": content, "data": texts(step.data)}
    files = {
        language: {
            role: whole_hash(path, f"alignment.{role}")
            for role, path in step.alignment.paths(language).items()
        }
        for language in step.data.languages
    }
    return {"columns": content["columns"], "files": files, "languages": step.data.languages}


def vectors(step: VectorsStep, config: Config) -> dict[str, Any]:
    """Of files the content counts, of text that it is trained on the options."""
    unit = str(step.unit)
    if not isinstance(step.vectors, VectorFiles):
        return {"unit": unit, "vectors": asdict(step.vectors), "data": texts(step.data)}
    files = step.vectors.files(step.unit, [step.data.source_language, *step.data.languages])
    return {
        "unit": unit, "files": {key: hash_or_missing(path) for key, path in files.items()},
        "max_words": step.vectors.max_words, "ngrams": step.vectors.ngrams,
    }  # fmt: skip


def helper(step: HelperStep, config: Config) -> dict[str, Any]:
    """A checkpoint enters by its files, a model that is trained by its options."""
    if isinstance(step.helper, CheckpointHelper):
        found = LoadedModel(path=step.helper.path, revision=step.helper.revision)
        dropped = {"drop_untrained": True} if step.helper.drop_untrained else {}
        return {"helper": step.helper.name, "files": checkpoint_hash(found), **dropped}
    return {
        "helper": asdict(step.helper), "data": texts(step.data), "precision": precision_of(config),
    }  # fmt: skip


def initialise(step: InitialiseStep, config: Config) -> dict[str, Any]:
    """The split counts where the method learns."""
    content = {"method": method_options(step.method), "data": texts(step.data)}
    if step.method.learned:
        content["split"] = split_of(step.data, step.split)
        content["run"] = {"precision": precision_of(config)}
    return content


def method_options(method: InitMethod) -> dict[str, Any]:
    """Options, with the content of the files they name in place of the paths.

    Raises:
        DataError: when one of these files is not there.
    """
    content = asdict(method)
    if method.version > 1:
        content["version"] = method.version
    for field, path in method.paths().items():
        place = Path(path).expanduser()
        files = sorted(place.glob("*")) if place.is_dir() else [place]
        if not path or not place.exists():
            raise DataError(
                f"init_method={method.name} reads init_method.{field}, and {path!r} does not exist "
                f"(looked in {Path.cwd()}); give a file or directory that does"
            )
        content[field] = {file.name: sampled_hash(file) for file in files if file.is_file()}
    if isinstance(training := getattr(method, "training", None), TrainingConfig):
        content["training"] = training_options(training)
    return content
