"""Replace the tables of a checkpoint on disk; the body is linked or copied, never loaded.

Shards without table tensors are hard-linked. A shard that holds both is rewritten by copying byte
ranges through a buffer of a few MiB, so memory does not depend on the size of the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from franken.errors import CompatibilityError
from franken.files import copy_file, link_or_copy, new_directory, read_json, write_json
from franken.parts import body as bodies
from franken.parts.anatomy import Anatomy
from franken.parts.body_files import copy_other_files
from franken.parts.checkpoint import INDEX_FILE, SINGLE_FILE, Checkpoint
from franken.parts.config_edits import refuse_moved_padding, set_vocabulary, unique_configs
from franken.parts.control_tokens import carry_over
from franken.parts.earlier_spellings import plainly_spelled, write_earlier_spellings
from franken.parts.fingerprint import body_fingerprint
from franken.parts.plain_config import PlainModelConfig
from franken.parts.safetensors_file import Entry, code_of, copied_entry, write_file
from franken.parts.stored_tokenizer import StoredTokenizer
from franken.parts.table import Table, read_description
from franken.parts.table_rows import TableRows, open_rows
from franken.parts.tokenizer_files import (
    export_stored_tokenizer,
    load_tokenizer,
    save_exported_tokenizer,
    token_count,
    tokenizer_identity,
)

TABLES_FILE = "model-tables.safetensors"
_RENAMED_SINGLE = "model-body.safetensors"


def replace_tables_on_disk(
    source_dir: Path,
    table: Table | TableRows | Path,
    target_dir: Path,
    *,
    link: bool = True,
    lineage: str | None = None,
) -> None:
    """Write a checkpoint with the body of one and another table.

    Args:
        source_dir: a transformers checkpoint, or a body without a table.
        table: a table, readers of its rows, or the directory of one; the latter two are streamed
            and never held whole. Its rows are cast to the number format of the rows they replace.
        target_dir: where the new checkpoint goes; must not exist, or be empty.
        link: hard-link untouched shards (they are then one file with the source's: never edit
            them in place); copied where the file system cannot link.
        lineage: fingerprint of the base body that the source descends from; default: what its
            ``body.json`` says, else the source's own fingerprint.

    Raises:
        CompatibilityError: where the table does not fit the body.
        ArtifactError: where a part is damaged, or the target exists. Nothing is left behind.
    """
    source_dir, target_dir = Path(source_dir), Path(target_dir)
    checkpoint = Checkpoint(source_dir)
    rows = open_rows(table, tokenizer=_stored_tokenizer(checkpoint, table))
    _check_fit(checkpoint, rows, lineage)
    with new_directory(target_dir) as scratch:
        weight_map, sizes = _write_weights(checkpoint, rows, scratch, link=link)
        if set(weight_map.values()) != {SINGLE_FILE}:
            write_json(
                scratch / INDEX_FILE,
                {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map},
            )
        copy_other_files(source_dir, scratch)
        _write_configs(checkpoint, rows, scratch)
        _write_tokenizer(checkpoint, rows, scratch)


def _stored_tokenizer(
    checkpoint: Checkpoint, table: Table | TableRows | Path
) -> StoredTokenizer | None:
    """The files of a table's tokenizer, where they prove to be the tokenizer it was made for."""
    if not isinstance(table, str | Path) or checkpoint.layout is None:
        return None
    found = StoredTokenizer.of(Path(table))
    try:
        expected = read_description(Path(table))["tokenizer_sha256"]
        known = found is not None and tokenizer_identity(found) == expected
    except Exception:  # the Rust side raises plain Exception on damaged JSON; told by open_rows
        return None
    return found if known else None


def _check_fit(checkpoint: Checkpoint, rows: TableRows, lineage: str | None) -> None:
    anatomy = checkpoint.anatomy()
    width = anatomy.width
    if rows.hidden_size != width:
        raise CompatibilityError(
            f"the table has rows of size {rows.hidden_size}, the body in {checkpoint.directory} "
            f"needs {width}"
        )
    refuse_moved_padding(anatomy, bodies.stored_configs(checkpoint)[0], rows.tokenizer)
    if (anatomy.head_bias is None) != ("output_bias" not in rows.shapes):
        raise CompatibilityError(
            f"{anatomy.family} models have {'no' if anatomy.head_bias is None else 'an'} output "
            "bias; the table is the other way round"
        )
    if lineage is None:
        description = checkpoint.directory / bodies.DESCRIPTION_FILE
        if description.is_file():
            lineage = str(read_json(description)["lineage"])
        else:
            lineage = body_fingerprint(checkpoint.directory, anatomy)
    if rows.lineage != lineage:
        raise CompatibilityError(
            f"the table was made for base body {rows.lineage[:12]}, the body in "
            f"{checkpoint.directory} descends from {lineage[:12]}; if it was trained from the "
            "table's base, give that as lineage"
        )


def _new_entries(checkpoint: Checkpoint, rows: TableRows) -> dict[str, Entry]:
    """Stored name -> entry, for the tensors of the new table."""
    anatomy = checkpoint.anatomy()
    named = {
        "input": anatomy.input_embedding,
        "output": anatomy.output_head,
        "output_bias": anatomy.head_bias,
    }
    code = _table_code(checkpoint, anatomy)
    entries = {}
    for part in rows.shapes:
        canonical = named[part]
        assert canonical is not None, "checked by _check_fit"
        name = checkpoint.stored_name(canonical) or canonical
        entries[name] = rows.entry(part, name, code)
    return entries


def _table_code(checkpoint: Checkpoint, anatomy: Anatomy) -> str:
    for name in anatomy.table_tensors:
        stored = checkpoint.stored_name(name)
        if stored is not None:
            return checkpoint.range(stored).code
    return code_of(bodies.stored_dtype(checkpoint, checkpoint.config()))


def _write_weights(
    checkpoint: Checkpoint, rows: TableRows, target: Path, *, link: bool
) -> tuple[dict[str, str], dict[str, int]]:
    """Write or link all shards; returns tensor -> file and tensor -> bytes."""
    anatomy = checkpoint.anatomy()
    new = _new_entries(checkpoint, rows)
    sizes = {name: entry.bytes_count for name, entry in new.items()}
    weight_map: dict[str, str] = {}
    home = _home_of_new_tensors(checkpoint, anatomy, list(new), link=link)
    for path, names in checkpoint.shards().items():
        kept = [name for name in names if not anatomy.is_table_tensor(name)]
        sizes |= {name: checkpoint.range(name).bytes_count for name in kept}
        placed = [name for name, file in home.items() if file == path.name]
        file = path.name
        if kept == names and not placed:
            alone = path.name == SINGLE_FILE
            file = _RENAMED_SINGLE if alone else path.name
            (link_or_copy if link else copy_file)(path, target / file)
        elif kept or placed:
            entries = [copied_entry(path, checkpoint.range(name)) for name in kept]
            entries += [new[name] for name in placed]
            write_file(target / file, entries, checkpoint.metadata or {"format": "pt"})
        weight_map |= dict.fromkeys([*kept, *placed], file)
    extra = [name for name, file in home.items() if file == TABLES_FILE]
    if extra:
        write_file(target / TABLES_FILE, [new[name] for name in extra], {"format": "pt"})
        weight_map |= dict.fromkeys(extra, TABLES_FILE)
    return weight_map, sizes


def _home_of_new_tensors(
    checkpoint: Checkpoint, anatomy: Anatomy, names: list[str], *, link: bool
) -> dict[str, str]:
    """New tensor -> file: where it was, else beside another table tensor, else a file of its own.

    A single file that would be copied anyway takes the table in.
    """
    old = [name for name in checkpoint.names() if anatomy.is_table_tensor(name)]
    files = checkpoint.shards()
    if old:
        fallback = checkpoint.shard_of(old[0]).name
    elif len(files) == 1 and not link:
        fallback = SINGLE_FILE if next(iter(files)).name == SINGLE_FILE else TABLES_FILE
    else:
        fallback = TABLES_FILE
    return {
        name: checkpoint.shard_of(name).name if name in checkpoint else fallback for name in names
    }


def _write_configs(checkpoint: Checkpoint, rows: TableRows, target: Path) -> None:
    config, generation = bodies.stored_configs(checkpoint)
    if isinstance(config, PlainModelConfig) and _spelled(checkpoint, config) is None:
        config = checkpoint.config()
        generation = bodies.stored_generation_config(checkpoint.directory)
    previous = bodies.control_tokens_of_body(checkpoint.directory)
    unused = rows.count - token_count(rows.tokenizer)
    set_vocabulary(config, rows=rows.count, unused=unused, tied=rows.tied)
    carry_over(unique_configs(config, generation), rows.tokenizer, previous)
    if isinstance(config, PlainModelConfig):
        write_json(target / "config.json", _spelled(checkpoint, config))
    else:
        config.save_pretrained(str(target))
        write_earlier_spellings(target)
    if generation is not None:
        generation.save_pretrained(str(target))


def _spelled(checkpoint: Checkpoint, config: PlainModelConfig) -> dict[str, Any] | None:
    known = checkpoint.layout
    assert known is not None, "there is a plain config"
    return plainly_spelled(config.changed(), may_have_both=known.earlier_spellings)


def _write_tokenizer(checkpoint: Checkpoint, rows: TableRows, target: Path) -> None:
    tokenizer = rows.tokenizer
    way = None if checkpoint.layout is None else checkpoint.layout.tokenizer
    if isinstance(tokenizer, StoredTokenizer):
        assert way is not None, "a tokenizer was opened as it is stored"
        if export_stored_tokenizer(tokenizer, target, way):
            return
        tokenizer = load_tokenizer(tokenizer.directory)
    save_exported_tokenizer(tokenizer, target, identity=rows.tokenizer_sha256, way=way)
