"""How well each side's atoms explain the same tokens: TABLE IMPLEMENTATION OUT.

``TABLE`` holds ``tokens`` and ``anchors``; residuals (of float64 least squares over the atoms that
were chosen, as a share of the token's length) are written to ``OUT``.
"""

import sys

import torch
from safetensors.torch import load_file, save_file

table, implementation, out = sys.argv[1:]
given = load_file(table)
tokens, anchors = given["tokens"].float(), given["anchors"].float()
if implementation == "franken":
    from franken.token_map.matching_pursuit import pursue

    chosen = torch.from_numpy(pursue(tokens, anchors, 64).columns).view(len(tokens), -1)
else:
    from mergekit.tokensurgeon import batch_omp

    chosen, _ = batch_omp(tokens, anchors, 64)
atoms, wanted = anchors[chosen].double().mT, tokens.double()[:, :, None]
left = wanted - atoms @ torch.linalg.lstsq(atoms, wanted).solution
save_file({"residuals": (left.norm(dim=1) / wanted.norm(dim=1)).contiguous()}, out)
