"""Both sides of ``resize_*``: inputs, linked, copied, transformers or compare, and FOLDER.

The inputs are those of ``benchmarks/surgery.py``: a Llama of random bfloat16 in shards of 1 GiB,
and a table of other rows.
"""

import sys
from pathlib import Path

way, folder = sys.argv[1], Path(sys.argv[2])
source, table = folder / "source", folder / "table"
if way == "transformers":
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(source)
    rows = load_file(table / "table.safetensors")["input"]
    model.resize_token_embeddings(rows.shape[0], mean_resizing=False)
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(rows)
    model.save_pretrained(folder / "peer", max_shard_size="1GB")
    AutoTokenizer.from_pretrained(table).save_pretrained(folder / "peer")
elif way == "compare":
    from franken.parts.checkpoint import Checkpoint

    ours, theirs = Checkpoint(folder / "franken"), Checkpoint(folder / "peer")
    names = sorted(theirs.names())
    same = sum(bool((ours.tensor(name) == theirs.tensor(name)).all()) for name in names)
    print(f"{same} of {len(names)} tensors are equal")
elif way == "inputs":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from surgery import write_checkpoint, write_new_table

    write_checkpoint(source, float(sys.argv[3]))
    write_new_table(table, source)
else:
    from franken.parts.disk_surgery import replace_tables_on_disk

    replace_tables_on_disk(source, table, folder / "franken", link=way == "linked")
