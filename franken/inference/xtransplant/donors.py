"""The donor's vectors: one pass over its prompt, every layer's activation at a site."""

import torch
from torch import Tensor
from transformers import DynamicCache

from franken.inference.xtransplant.choices import Positions, Steps
from franken.inference.xtransplant.contract import Decoding, Donor, Intervention
from franken.inference.xtransplant.host import Host


def donor_vectors(
    host: Host, donor: Donor, intervention: Intervention, decoding: Decoding
) -> Tensor:
    """``(T, N, Q', D)``: per patched step and layer the vectors that go into the target.

    T is 1 for ``steps=prefill``, else one per new token: the donor then continues its own prompt
    greedily, past an end of text. Q' is 1 for ``positions=last``, else the prompt's length
    (decoding steps have 1: they are padded by repetition, and only their last one is used).
    """
    everywhere = intervention.positions is Positions.all
    steps = decoding.max_new_tokens if intervention.steps is Steps.every else 1
    ids = donor.ids.to(host.device)[None]
    cache = DynamicCache(config=host.config)
    found: list[Tensor] = []
    for step in range(steps):

        def keep(states: Tensor) -> Tensor:
            return states[0] if everywhere else states[0, -1:]

        with host.recorded(intervention.site, keep) as recorded:
            states = host.states(input_ids=ids, past_key_values=cache)
        bank = torch.stack(recorded)
        if found and bank.shape[1] != found[0].shape[1]:
            bank = bank.expand(-1, found[0].shape[1], -1)
        found.append(bank)
        if step + 1 < steps:
            ids = host.last_logits(states).argmax(dim=-1)[:, None]
    vectors = torch.stack(found)
    return vectors if donor.noise_seed is None else noise_like(vectors, donor.noise_seed)


def noise_like(vectors: Tensor, seed: int) -> Tensor:
    """Gaussian vectors with the norms of ``vectors``; the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(vectors.shape, generator=generator)
    drawn *= vectors.float().cpu().norm(dim=-1, keepdim=True) / drawn.norm(dim=-1, keepdim=True)
    return drawn.to(vectors)
