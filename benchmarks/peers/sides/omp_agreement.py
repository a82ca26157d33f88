"""Compare the tables that both wrote, and the residuals: FRANKEN PEER RESIDUALS RESIDUALS."""

import sys
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file


def table(directory):
    for path in sorted(Path(directory).glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in list(file.keys()):
                if name.endswith("embed_tokens.weight"):
                    return file.get_tensor(name).double()
    raise SystemExit(f"{directory} holds no embed_tokens.weight")


ours, theirs = table(sys.argv[1]), table(sys.argv[2])
count = min(len(ours), len(theirs))
ours, theirs = ours[:count], theirs[:count]
apart = (ours - theirs).norm(dim=1) / theirs.norm(dim=1).clamp(min=1e-9)
left, right = (load_file(path)["residuals"] for path in sys.argv[3:])
print(
    f"rows equal to 1e-4: {(apart < 1e-4).double().mean() * 100:.2f} % of {count}; residuals of "
    f"{len(left)} tokens: mean {left.mean():.6f} and {right.mean():.6f}, "
    f"largest difference {(left - right).abs().max():.1e}"
)
