"""Model cards: what a model is made of, how it scores, and how to load it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from franken import __version__
from franken.families.objective import auto_class, is_masked
from franken.parts.checkpoint import read_config
from franken.parts.label_head import read_labels
from franken.parts.label_set import LabelledUnit
from franken.parts.model import ModelRef
from franken.parts.table import read_description

_USAGE = """\
```python
from transformers import @CLASS@, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("path/to/this/directory")
model = @CLASS@.from_pretrained("path/to/this/directory")
```"""


@dataclass(frozen=True)
class CardFacts:
    """What the card tells besides what the parts themselves say."""

    title: str
    recipe: str = ""
    """Name of the recipe, e.g. ``franken_adapter``; empty: made without one."""
    command: str | None = None
    """Command line that makes the model again."""
    base_model: str | None = None
    """Hub id or name of the base model."""
    languages: Sequence[str] = ()
    license: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    """Step name -> key of its artefact in the store."""
    scores: Iterable[Mapping[str, Any]] = ()
    """Records with task, lang, metric, value, and optionally n, stderr and model."""
    notes: Sequence[str] = ()

    @property
    def maker(self) -> str:
        """The program and its recipe, in words."""
        recipe = f" with the recipe `{self.recipe}`" if self.recipe else ""
        return f"franken {__version__}{recipe}"


def model_card(ref: ModelRef, facts: CardFacts) -> str:
    """Text of ``README.md``: YAML front matter, parts, scores, usage."""
    sections = [
        f"# {facts.title}",
        f"Made by {facts.maker}: one body and one vocabulary table, assembled. It "
        "is a plain transformers model, written by transformers 5; config and tokenizer also "
        "have the spellings of version 4, which reads the families that it knows.",
        *facts.notes,
        "## Usage",
        _USAGE.replace("@CLASS@", _class_of(ref)),
        "## Parts",
        _parts(ref, facts),
    ]
    if facts.command:
        sections += ["## Made by", f"```sh\n{facts.command}\n```"]
    scores = list(facts.scores)
    if scores:
        sections += ["## Scores", score_table(scores)]
    sections += ["## Provenance of the table", _provenance(ref)]
    return front_matter(facts, pipeline=_pipeline_of(ref)) + "\n\n".join(sections) + "\n"


def _class_of(ref: ModelRef) -> str:
    """By which class of transformers the model is loaded."""
    if ref.head is None:
        return str(auto_class(read_config(ref.body)).__name__)
    whole = read_labels(ref.head).unit is LabelledUnit.sentence
    return f"AutoModelFor{'Sequence' if whole else 'Token'}Classification"


def _pipeline_of(ref: ModelRef) -> str:
    if ref.head is not None:
        whole = read_labels(ref.head).unit is LabelledUnit.sentence
        return "text-classification" if whole else "token-classification"
    return "fill-mask" if is_masked(read_config(ref.body)) else "text-generation"


def score_table(scores: Iterable[Mapping[str, Any]]) -> str:
    """A Markdown table of score records, in their order."""
    rows = list(scores)
    columns = [name for name in ("model", "task", "lang", "metric") if any(name in r for r in rows)]
    header = [*columns, "value", "stderr", "n"]
    lines = [_line(header), _line(["---"] * len(columns) + ["---:"] * 3)]
    for row in rows:
        cells = [str(row.get(name, "")) for name in columns]
        lines.append(
            _line([*cells, _number(row["value"]), _number(row.get("stderr")), row.get("n", "")])
        )
    return "\n".join(lines)


def front_matter(
    facts: CardFacts, *, library: str = "transformers", pipeline: str = "text-generation"
) -> str:
    """The YAML head that the hub reads."""
    values: dict[str, Any] = {
        "library_name": library,
        "pipeline_tag": pipeline,
        "tags": ["franken", *([facts.recipe] if facts.recipe else [])],
        "language": list(facts.languages) or None,
        "base_model": facts.base_model,
        "license": facts.license,
    }
    present = {key: value for key, value in values.items() if value is not None}
    return f"---\n{yaml.safe_dump(present, sort_keys=False, allow_unicode=True)}---\n\n"


def _parts(ref: ModelRef, facts: CardFacts) -> str:
    description = read_description(ref.table)
    tying = "tied" if description["tied"] else "untied"
    lines = [
        _line(["part", "what", "fingerprint or key"]),
        _line(["---"] * 3),
        _line(["base model", facts.base_model or "", f"`{ref.lineage[:16]}`"]),
        _line(["body", ref.body.name, f"`{ref.fingerprint[:16]}`"]),
        _line(
            [
                "table",
                f"{description['rows']} rows of {description['hidden_size']}, {tying}",
                f"`{description['tokenizer_sha256'][:16]}` (tokenizer)",
            ]
        ),
        *(_line(["delta", path.name, "merged"]) for path in ref.deltas),
        *(
            []
            if ref.head is None
            else [_line(["head", ", ".join(read_labels(ref.head).names), ""])]
        ),
        *(_line(["step", name, f"`{key[:16]}`"]) for name, key in facts.keys.items()),
    ]
    return "\n".join(lines)


def _provenance(ref: ModelRef) -> str:
    text = json.dumps(
        read_description(ref.table)["provenance"], indent=2, sort_keys=True, ensure_ascii=False
    )
    return f"```json\n{text}\n```"


def _line(cells: Iterable[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)
