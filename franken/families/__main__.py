"""``python -m franken.families [CHECKPOINT]``: what franken can do with which models."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from franken.commands import answered


def main(arguments: list[str] | None = None) -> int:
    """Print capabilities; exit code 1 where a named checkpoint takes no table, 2 for an error."""
    parser = argparse.ArgumentParser(
        prog="python -m franken.families",
        description="What franken can do with a checkpoint, a model type, or all types.",
    )
    parser.add_argument(
        "models", nargs="*", metavar="CHECKPOINT",
        help="directory with config.json, or a model type such as llama; default: all types",
    )  # fmt: skip
    parser.add_argument(
        "--write", action="store_true",
        help="write franken/families/layouts.json anew from the transformers that is installed",
    )  # fmt: skip
    asked = parser.parse_args(arguments)
    chosen = asked.models
    from transformers.utils import logging

    from franken.families.objective import language_model_types

    logging.set_verbosity_error()
    if asked.write:
        from franken.families.layout_writing import write_layouts

        print(f"{write_layouts()} classes of models")
        return 0
    models = chosen or language_model_types()
    return answered(lambda: _print(models, detailed=bool(chosen)))


def _print(models: Iterable[str], *, detailed: bool) -> int:
    from franken.families.capabilities import NAMES

    worst = 0
    if not detailed:
        print(f"{'type':<28}" + "".join(f"{name:<13}" for name in NAMES))
    for model in models:
        found = _capabilities(model)
        worst |= detailed and found["tables"] is not None
        if detailed:
            print(model)
            for name in NAMES:
                print(f"  {name:<12} {'yes' if found[name] is None else f'no: {found[name]}'}")
        else:
            cells = ("yes" if found[name] is None else "-" for name in NAMES)
            print(f"{model:<28}" + "".join(f"{cell:<13}" for cell in cells))
    return int(worst)


def _capabilities(model: str) -> dict[str, str | None]:
    from transformers import AutoConfig

    from franken.errors import CompatibilityError, ConfigError, FrankenError
    from franken.families.capabilities import NAMES, capabilities_of
    from franken.parts.anatomy import refuse_unknown_type
    from franken.parts.checkpoint import read_config

    if not Path(model).is_dir():
        try:
            refuse_unknown_type(model)
        except CompatibilityError as error:
            raise ConfigError(f"{model!r} is no directory, and {error}") from error
    try:
        if Path(model).is_dir():
            return capabilities_of(read_config(Path(model))).to_json()
        return capabilities_of(AutoConfig.for_model(model)).to_json()
    except CompatibilityError as error:
        return dict.fromkeys(NAMES, str(error))
    except FrankenError:
        raise
    except Exception as error:  # a default config that its own class refuses
        return dict.fromkeys(NAMES, f"no config: {type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
