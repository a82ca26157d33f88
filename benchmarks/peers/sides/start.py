"""Sides of ``start_*``: WAY ...

``app FOLDER`` writes a Hydra application of the shape of lightning-hydra-template (which is no
package): its groups, chosen by a defaults list, and a script that imports torch and Lightning at
its top as the template's does. ``refused COMMAND ...`` runs a command that must end in an error.
"""

import subprocess
import sys
from pathlib import Path

OPTIMIZER = "optimizer: {_target_: torch.optim.Adam, _partial_: true, lr: 0.001}"
LOGGER = "{_target_: pytorch_lightning.loggers.CSVLogger, save_dir: '${paths.output_dir}'}"
GROUPS = {
    "data": "_target_: app.Data\nbatch_size: 64\nnum_workers: 0",
    "model": f"_target_: app.Model\n{OPTIMIZER}",
    "callbacks": "best: {_target_: pytorch_lightning.callbacks.ModelCheckpoint, mode: min}",
    "logger": f"csv: {LOGGER}",
    "trainer": "_target_: pytorch_lightning.Trainer\nmax_epochs: 10\naccelerator: cpu",
    "paths": "output_dir: ${hydra:runtime.output_dir}\nwork_dir: ${hydra:runtime.cwd}",
    "extras": "ignore_warnings: false\nenforce_tags: true\nprint_config: true",
}
SCRIPT = """
import hydra
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(cfg: DictConfig) -> None:
    pl.seed_everything(cfg.seed)


main()
"""

way, *rest = sys.argv[1:]
if way == "app":
    configs = Path(rest[0]) / "configs"
    lines = ["defaults:", "  - _self_"]
    for group, text in GROUPS.items():
        (configs / group).mkdir(parents=True)
        (configs / group / "default.yaml").write_text(text + "\n")
        lines.append(f"  - {group}: default")
    lines += ["task_name: train", "tags: [dev]", "train: true", "seed: 1"]
    (configs / "train.yaml").write_text("\n".join(lines) + "\n")
    (configs.parent / "train.py").write_text(SCRIPT)
else:
    done = subprocess.run(rest, check=False, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    sys.exit(done.returncode == 0)
