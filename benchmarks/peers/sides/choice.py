"""Sides of ``multiple_choice*`` and ``rolling``: WAY TASK FOLDER ...

``inputs TASK FOLDER DATA ITEMS`` writes the tasks of ``benchmarks/evaluation.py``; ``franken TASK
FOLDER MODEL OUT`` and ``hf TASK FOLDER MODEL OUT`` score one of them, in batches of 16.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from evaluation import one, write_tasks

way, task, folder, *rest = sys.argv[1:]
if way == "inputs":
    write_tasks(Path(rest[0]), Path(folder), int(rest[1]), int(rest[1]))
else:
    found = one(way, task, Path(folder), rest[0], 16, 1)
    answers = [max(range(len(own)), key=own.__getitem__) for own in found["scores"]]
    Path(rest[1]).write_text(json.dumps({
        "processor seconds": found["cpu"],
        "peak MB": found["peak_mb"],
        "sum of log-likelihoods": sum(map(sum, found["scores"])),
        "answers": {str(item): answer for item, answer in enumerate(answers)},
    }))  # fmt: skip
