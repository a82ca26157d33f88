"""Export: a plain transformers directory that knows nothing of franken."""

import shutil
from pathlib import Path

from franken.files import new_directory, write_atomically
from franken.parts.body import MAX_SHARD_SIZE, quiet_transformers
from franken.parts.disk_surgery import replace_tables_on_disk
from franken.parts.earlier_spellings import write_earlier_spellings
from franken.parts.label_head import load_head
from franken.parts.model import ModelRef, assemble, check_body
from franken.parts.row_selection import padded_rows
from franken.parts.table_rows import open_rows
from franken.parts.tokenizer_files import save_exported_tokenizer


def export_model(ref: ModelRef, directory: Path, *, card: str, pad_to_multiple: int = 1) -> None:
    """Write a model that ``AutoModelForCausalLM`` and ``AutoTokenizer`` load without franken.

    With a head it is one that ``AutoModelForSequenceClassification`` (or ``...Token...``) loads.
    Without deltas the files are streamed and the body is never loaded; with deltas or a head the
    model is assembled, deltas merged in float32. Weights are copied, not linked: an export may be
    edited. The chat template is the tokenizer's own (``with_special_rows`` brings the donor's
    along); source files such as a licence are kept, the source's README is not.

    Args:
        ref: the parts.
        directory: where to; must not exist, or be empty.
        card: text of ``README.md``; see ``franken.parts.card``.
        pad_to_multiple: add rows up to a multiple of this, each the mean of the others, whose logit
            is the mean logit and so never wins; the tokenizer does not know them.

    Raises:
        CompatibilityError: where parts do not fit, or ``AutoTokenizer`` would load another
            tokenizer than the table's.
        ArtifactError: where a part is damaged, or the target exists. Nothing is left behind.
    """
    with new_directory(Path(directory)) as scratch:
        if ref.deltas or ref.head:
            _write_merged(ref, scratch, pad_to_multiple)
        else:
            check_body(ref)
            rows = padded_rows(open_rows(ref.table), pad_to_multiple)
            replace_tables_on_disk(ref.body, rows, scratch, link=False, lineage=ref.lineage)
        write_atomically(scratch / "README.md", card.encode())


def _write_merged(ref: ModelRef, directory: Path, pad_to_multiple: int) -> None:
    wanted = pad_to_multiple if pad_to_multiple > 1 else None
    model, tokenizer = assemble(ref, merge=True, pad_to_multiple=wanted)
    if ref.head is not None:
        model = load_head(model, ref.head).classifier
    with quiet_transformers():
        model.save_pretrained(str(directory), max_shard_size=MAX_SHARD_SIZE)
    write_earlier_spellings(directory)
    save_exported_tokenizer(tokenizer, directory)
    for name in ("LICENSE", "LICENSE.txt", "NOTICE"):
        if (ref.body / name).is_file():
            shutil.copyfile(ref.body / name, directory / name)
