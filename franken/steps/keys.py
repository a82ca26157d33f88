"""What enters a step's key: the part of its config that can change its result, and nothing else.

Paths, worker counts, batch sizes that only tile the same sum, logging and the intervals of
checkpoints stay out; precision and seeds are in.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from franken.config.alignment import FilesAlignment
from franken.config.base_model import LoadedModel, PretrainedModel
from franken.config.data import DataConfig
from franken.config.helper_model import CheckpointHelper
from franken.config.inference import Numbers
from franken.config.init_method import InitMethodConfig
from franken.config.pack import Rounding
from franken.config.root import Config
from franken.config.router import TrainedRouter
from franken.config.steps import (
    AlignStep,
    BackTranslateStep,
    BuildVocabStep,
    EvaluateStep,
    ExportStep,
    GraftStep,
    HelperStep,
    HydraStep,
    HydraTrainStep,
    InitialiseStep,
    LoadStep,
    PackStep,
    PretrainStep,
    RouteStep,
    SelectPairsStep,
    SelectTableStep,
    StepConfig,
    SwapStep,
    TrainStep,
    TransplantStep,
    VectorsStep,
)  # fmt: skip
from franken.config.training import TrainingConfig
from franken.config.word_vectors import VectorFiles
from franken.data import open_data
from franken.errors import DataError
from franken.files import sampled_hash, sha256_file
from franken.store import StepKey

_SEEDLESS = (LoadStep, AlignStep, SwapStep, HydraStep, SelectTableStep, ExportStep)
_NEUTRAL_TRAINING = ("checkpoint_every", "activation_checkpointing")
_MODEL_FILES = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja")


def step_key(step: StepConfig, inputs: dict[str, StepKey], config: Config) -> StepKey:
    """The key of a step whose inputs' keys are known.

    Args:
        step: the checked step.
        inputs: field -> key of the step that it refers to.
        config: for the seed and the precision.
    """
    return StepKey.of(
        kind=step.kind,
        version=step.version,
        config=_config_slice(step, config),
        inputs={name: key.key for name, key in inputs.items()},
        seed=None if isinstance(step, _SEEDLESS) else config.seed,
    )


def _config_slice(step: StepConfig, config: Config) -> dict[str, Any]:
    precision = str(config.trainer.precision)
    if isinstance(step, LoadStep):
        assert isinstance(step.model, LoadedModel)
        return {"files": checkpoint_hash(step.model), "dtype": str(step.model.dtype)}
    if isinstance(step, PretrainStep):
        assert isinstance(step.model, PretrainedModel)
        model = asdict(step.model)
        model.pop("name")
        return {
            "model": model, "training": _training(step.training), "precision": precision,
            "data": _split(step.data, step.split),
        }  # fmt: skip
    if isinstance(step, BuildVocabStep):
        return {"vocab": asdict(step.vocab), "data": _texts(step.data)}
    if isinstance(step, InitialiseStep):
        content = {"method": _method(step.method), "data": _texts(step.data)}
        if step.method.learned:
            content["split"] = _split(step.data, step.split)
            content["run"] = {"precision": precision}
        return content
    if isinstance(step, AlignStep):
        return _alignment(step)
    if isinstance(step, VectorsStep):
        return {"unit": str(step.unit), **_vectors(step)}
    if isinstance(step, HelperStep):
        if isinstance(step.helper, CheckpointHelper):
            found = LoadedModel(path=step.helper.path, revision=step.helper.revision)
            return {"helper": step.helper.name, "files": checkpoint_hash(found)}
        return {
            "helper": asdict(step.helper), "data": _texts(step.data), "precision": precision,
        }  # fmt: skip
    if isinstance(step, TrainStep):
        return {
            "trainable": str(step.trainable), "training": _training(step.training),
            "data": _split(step.data, step.split), "precision": precision,
        }  # fmt: skip
    if isinstance(step, SwapStep):
        return asdict(step.composition)
    if isinstance(step, HydraStep):
        return {"composition": asdict(step.composition), "tables": list(step.tables)}
    if isinstance(step, SelectTableStep):
        return {"table": step.table}
    if isinstance(step, HydraTrainStep):
        return {
            "trainable": str(step.trainable), "tables": sorted(step.tables),
            "flow": [step.directions, step.copies, _prompt(step.prompt, step.data)],
            "training": _training(step.training), "data": _split(step.data, step.split),
            "precision": precision,
        }  # fmt: skip
    if isinstance(step, BackTranslateStep):
        own = ("role", "sentences", "beams", "temperature", "max_new_tokens", "stop")
        return {
            **{name: getattr(step, name) for name in own},
            "prompt": _prompt(step.prompt, step.data), "data": _texts(step.data),
        }  # fmt: skip
    if isinstance(step, PackStep):
        content = {"pack": _without(asdict(step.pack), "name")}
        if step.pack.quant.method is Rounding.gptq and step.data is not None:
            content["data"] = _split(step.data, step.split)
        return content
    if isinstance(step, GraftStep):
        return {
            "packs": sorted(step.packs), "weights": step.weights, "merge": str(step.merge),
            "density": step.density, "table": str(step.table), "body_scale": step.body_scale,
            "materialise": step.materialise,
        }  # fmt: skip
    if isinstance(step, RouteStep):
        if step.by_task or not isinstance(step.router, TrainedRouter):
            name = "oracle" if step.by_task else step.router.name
            return {"router": name, "packs": sorted(step.packs), "tasks": step.tasks}
        assert step.data is not None
        return {
            "router": _without(asdict(step.router), "name"), "packs": sorted(step.packs),
            "data": _split(step.data, step.split), "language_share": step.language_share,
            "precision": precision,
        }  # fmt: skip
    if isinstance(step, EvaluateStep):
        suite = asdict(step.suite)
        suite.pop("name")
        suite.pop("batch_tokens")
        return {"suite": suite, "data": _texts(step.data), "precision": precision}
    if isinstance(step, TransplantStep):
        return {
            "inference": _inference(step), "prompts": _named_apart(step.prompts),
            "portion": str(step.portion), "data": _texts(step.data), "donor": step.donor,
            "site": step.site,
        }  # fmt: skip
    if isinstance(step, SelectPairsStep):
        return {"select": asdict(step.select)}
    if isinstance(step, ExportStep):
        return {"recipe": step.recipe}
    raise TypeError(f"no key is defined for step kind {step.kind!r}")


def _method(method: InitMethodConfig) -> dict[str, Any]:
    """Options, with the content of the files they name in place of the paths."""
    content = asdict(method)
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
        content["training"] = _training(training)
    return content


def _prompt(prompt: str | None, data: DataConfig) -> list[Any]:
    """The template of sentence pairs and the names that it puts."""
    return [prompt or data.parallel_template, data.language_names]


def _alignment(step: AlignStep) -> dict[str, Any]:
    """Files made elsewhere enter by their contents, and then the data's text does not count."""
    options = asdict(step.alignment)
    if not isinstance(step.alignment, FilesAlignment):
        return {"alignment": options, "data": _texts(step.data)}
    files = {
        language: {
            role: _file_hash(path, f"alignment.{role}")
            for role, path in step.alignment.paths(language).items()
        }
        for language in step.data.languages
    }
    return {"columns": options["columns"], "files": files, "languages": step.data.languages}


def _file_hash(path: Path, key: str) -> str:
    if not path.is_file():
        raise DataError(f"{key}: {path} is no file (looked in {Path.cwd()}); check the path")
    return sha256_file(path)


_TILING = ("share", "max_rows", "batch_tokens")


def _inference(step: TransplantStep) -> dict[str, Any]:
    """Options that can change a row; the engine counts, as margins and marks are its own.

    In half precision products of other shapes round differently, so there everything counts.
    """
    config = step.inference
    content = asdict(config)
    content.pop("select")
    if config.dtype is Numbers.float32:
        content = {key: value for key, value in content.items() if key not in _TILING}
    path = content.pop("pairs_file", None)
    if step.pairs is not None:
        content.pop("pairs", None)
    elif path and content.get("pairs") == "file":
        file = Path(path).expanduser()
        content["pairs_file"] = sampled_hash(file) if file.is_file() else "missing"
    return content


def _named_apart(config: Any) -> dict[str, Any]:
    content = asdict(config)
    content.pop("name")
    return content


def _without(content: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in names}


def _texts(data: DataConfig) -> dict[str, Any]:
    return {"languages": data.languages, "text": open_data(data).fingerprint()}


def _vectors(step: VectorsStep) -> dict[str, Any]:
    """Of files the content counts, of text that it is trained on the options."""
    if not isinstance(step.vectors, VectorFiles):
        return {"vectors": asdict(step.vectors), "data": _texts(step.data)}
    files = step.vectors.files(step.unit, [step.data.source_language, *step.data.languages])
    content = {}
    for key, path in files.items():
        file = Path(path).expanduser()
        content[key] = sampled_hash(file) if path and file.is_file() else "missing"
    kept = {"max_words": step.vectors.max_words, "ngrams": step.vectors.ngrams}
    return {"files": content, **kept}


def _training(training: TrainingConfig) -> dict[str, Any]:
    unset = ("anchor",) if training.anchor == 0 else ()  # options that came later keep old keys
    return _without(asdict(training), *_NEUTRAL_TRAINING, *unset)


def _split(data: DataConfig, split: str) -> dict[str, Any]:
    mixture = data.mixtures[split]
    languages = mixture.languages
    if languages is None:
        languages = [data.source_language, *data.languages]
    return {
        "mixture": {k: v for k, v in asdict(mixture).items() if (k, v) != ("tasks", None)},
        "languages": languages, "text": open_data(data).fingerprint(),
    }  # fmt: skip


def checkpoint_hash(model: LoadedModel) -> dict[str, str]:
    """File name -> hash of its size and of sampled blocks, for the files that make the model."""
    directory = resolve_checkpoint(model)
    files = sorted({file for pattern in _MODEL_FILES for file in directory.glob(pattern)})
    return {file.name: sampled_hash(file) for file in files}


def resolve_checkpoint(model: LoadedModel) -> Path:
    """The local directory of a checkpoint; a hub id is downloaded once and then cached.

    Raises:
        DataError: when the path is neither a directory nor a reachable hub id.
    """
    local = Path(model.path).expanduser()
    if local.is_dir():
        return local.resolve()
    if model.path.startswith((".", "/", "~")) or model.path.count("/") != 1:
        raise DataError(
            f"base_model.path={model.path!r} is no directory (looked in {Path.cwd()}); give the "
            "directory of a transformers checkpoint or a hub id such as org/name"
        )
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            model.path, revision=model.revision, allow_patterns=list(_MODEL_FILES)
        )
    except Exception as error:
        raise DataError(
            f"base_model.path={model.path!r} could not be had from the hub: {error}; check the "
            "name, your login (gated models) and the network, or give a local directory"
        ) from error
    return Path(found)
