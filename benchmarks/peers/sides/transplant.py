"""Both sides of ``xtransplant``: WAY MODEL OUT, where WAY is franken or hooks.

The output of the MLP of a donor's layer at the last position of its prompt takes the place of the
target's in another layer, at the last position of the prompt; then six tokens are chosen greedily.
The plain loop reads the donor once, keeps keys and values while it writes, and takes every 29th of
the 900 pairs; its time is scaled up.
"""

import json
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

way, model_dir, out = sys.argv[1:]
PROMPT, NEW, EACH = 80, 6, 29
TEXTS = (
    "The library of the town stands between the river and the market. ",
    "Maktaba ya mji iko kati ya mto na soko, na watoto husoma humo kila siku. ",
)
model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
tokenizer = AutoTokenizer.from_pretrained(model_dir)
target, donor = (tokenizer(20 * text, return_tensors="pt").input_ids[0, :PROMPT] for text in TEXTS)
layers = model.model.layers
places = [(i, j) for i in range(len(layers)) for j in range(len(layers))]
answers: dict[str, list[int]] = {}


def by_hooks(chosen: list[tuple[int, int]]) -> None:
    taken: dict[int, torch.Tensor] = {}
    hooks = [
        layer.mlp.register_forward_hook(
            lambda _, __, made, at=at: taken.__setitem__(at, made[0, -1].clone())
        )
        for at, layer in enumerate(layers)
    ]
    model(donor[None])
    for hook in hooks:
        hook.remove()
    for source, at in chosen:

        def put(_, __, made, given=taken[source]):
            if made.shape[1] > 1:
                made[0, -1] = given
            return made

        hook = layers[at].mlp.register_forward_hook(put)
        ids, known, tokens = target[None], None, []
        for _ in range(NEW):
            made = model(ids, past_key_values=known, use_cache=True, logits_to_keep=1)
            known, ids = made.past_key_values, made.logits[:, -1].argmax(-1, keepdim=True)
            tokens.append(int(ids))
        hook.remove()
        answers[f"{source}-{at}"] = tokens


def by_franken() -> None:
    from franken.inference.xtransplant import (
        Decoding,
        Donor,
        Intervention,
        Options,
        Task,
        open_host,
        pair_set,
    )
    from franken.products import asking
    from franken.transplant_engine.base import engine_of

    host = open_host(model)
    with asking(model):  # as franken's own callers do
        runs = engine_of("wavefront").run(
            host, Task(target, Donor(donor)), pair_set("grid", host.depth), Intervention(),
            Decoding(NEW), Options(share=False),
        )  # fmt: skip
    for pair, tokens in zip(runs.pairs, runs.tokens, strict=True):
        answers[f"{pair[0]}-{pair[1]}"] = list(tokens)


with torch.inference_mode():
    wall, busy = time.perf_counter(), time.process_time()
    if way == "franken":
        by_franken()
        scale = 1.0
    else:
        by_hooks(places[::EACH])
        scale = len(places) / len(places[::EACH])
    spent = time.perf_counter() - wall, time.process_time() - busy
Path(out).write_text(json.dumps({
    "seconds for 900 pairs": spent[0] * scale,
    "processor seconds for 900 pairs": spent[1] * scale,
    "answers": answers,
}))  # fmt: skip
