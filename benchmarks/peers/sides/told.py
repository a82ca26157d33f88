"""Ratios of what both sides measured inside themselves: FRANKEN PEER, JSON files.

Numbers that both have are shown as a pair with peer / franken; lists are compared item by item.
"""

import json
import sys
from pathlib import Path

ours, theirs = (json.loads(Path(path).read_text()) for path in sys.argv[1:])
parts = []
for key in [key for key in ours if key in theirs]:
    left, right = ours[key], theirs[key]
    if isinstance(left, dict):
        same = sum(left[name] == right[name] for name in right)
        parts.append(f"{key}: {same} of {len(right)} equal")
    else:
        parts.append(f"{key}: {left:,.4g} and {right:,.4g} (peer / franken {right / left:.3g})")
print("; ".join(parts))
