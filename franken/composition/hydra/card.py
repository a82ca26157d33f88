"""The model card of a Hydra LLM's directory."""

from collections.abc import Iterable
from typing import Any

from franken.composition.hydra.storage import HydraRef
from franken.parts.card import CardFacts, front_matter, score_table
from franken.parts.table import read_description

_USAGE = """\
```python
from franken.composition.hydra import load_hydra
from franken.decoding import Decoding, WholeModel, decode

hydra = load_hydra("path/to/this/directory")
view = hydra.view(write="{write}", read=["{read}"])
prompt = view.encode([("{read}", "text to read")])
(written,) = decode(WholeModel(view.model), [prompt], Decoding(),
                    ends=view.ends, writable=view.writable)
print(view.decode(written.ids))
```"""


def hydra_card(ref: HydraRef, facts: CardFacts) -> str:
    """Text of ``README.md``: front matter, tables, scores, usage, layout."""
    names = list(ref.tables)
    sections = [
        f"# {facts.title}",
        f"A Hydra LLM made by {facts.maker}: one body and {len(names)} vocabulary "
        "tables. It reads in one vocabulary and writes in another.",
        *facts.notes,
        "## Usage",
        _USAGE.format(read=names[-1], write=names[0]),
        "## Tables",
        _tables(ref),
        f"Body `{ref.fingerprint[:16]}`, base `{ref.lineage[:16]}`. Text without a table of its "
        f"own goes to `{ref.default or 'none: it is an error'}`.",
        "## Layout",
        "`body/` holds the layers, `tables/NAME/` a tokenizer with its rows and `route.json` with "
        "its languages and scripts, `hydra.json` what joins them. The tables are those that lie "
        "there: `add_table` adds one and touches no other file.",
    ]
    if facts.command:
        sections += ["## Made by", f"```sh\n{facts.command}\n```"]
    scores = list(facts.scores)
    if scores:
        sections += ["## Scores", score_table(scores)]
    return front_matter(facts, library="franken") + "\n\n".join(sections) + "\n"


def _tables(ref: HydraRef) -> str:
    lines = [
        _line(["table", "rows", "tied", "languages", "scripts", "made by"]),
        _line(["---"] * 6),
    ]
    for name, path in ref.tables.items():
        described = read_description(path)
        languages = [tag for tag, table in ref.languages.items() if table == name]
        provenance: dict[str, Any] = described["provenance"]
        lines.append(
            _line(
                [
                    f"`{name}`", described["rows"], "yes" if described["tied"] else "no",
                    ", ".join(languages), ", ".join(ref.scripts.get(name, ())),
                    provenance.get("method", ""),
                ]
            )
        )  # fmt: skip
    return "\n".join(lines)


def _line(cells: Iterable[Any]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
