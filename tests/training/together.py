"""Trainings that two processes do together, each playing a node."""

import os
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from franken.config.trainer import TrainerConfig
from franken.config.training import BodyType, LoraConfig, Trainable, TrainingConfig
from franken.interruption import Interrupted
from franken.preference.dpo_normalised import DpoNormalised
from franken.processes import Place
from franken.training.runner import train_model
from franken.training.state import TrainingReport
from franken.training.team import Team
from tests.composition.hydras import hydra
from tests.composition.test_hydra_training import PAIR, batch_of, encoder_of
from tests.training.pairs import PAIRS, pair_data, tiny_training
from tests.training.tiny import CPU, TinyData, tiny_model

STEPS = 4
DDP = replace(CPU, name="ddp", strategy="ddp")
FSDP = replace(CPU, name="fsdp", strategy="fsdp")
Outcome = tuple[TrainingReport, dict[str, torch.Tensor]]


class Case:
    """One training, by one process or by several."""

    def __init__(self, trainer: TrainerConfig, loose: bool = False) -> None:
        self.trainer, self.loose = trainer, loose

    def __call__(self, folder: Path, trainer: TrainerConfig, on_log: Any = None) -> Outcome:
        """Report and weights."""
        raise NotImplementedError


class Plain(Case):
    """Next tokens."""

    def __init__(
        self, trainer: TrainerConfig, family: str, trainable: Trainable, loose: bool = False,
        **settings: Any,
    ) -> None:  # fmt: skip
        super().__init__(trainer, loose)
        self.family, self.trainable, self.settings = family, trainable, settings

    def __call__(self, folder: Path, trainer: TrainerConfig, on_log: Any = None) -> Outcome:
        values = {
            "steps": STEPS, "batch_size": 8, "sequence_length": 16, "accumulate": 2, "lr": 1e-2,
            "checkpoint_every": 2, "grad_clip": 0.5,
        }  # fmt: skip
        config = TrainingConfig(**{**values, **self.settings})
        model = tiny_model(self.family)
        report = train_model(
            model, None, TinyData(config), config, self.trainable, trainer,
            work_dir=folder, seed=0, on_log=on_log,
        )  # fmt: skip
        return report, {name: value.float() for name, value in model.state_dict().items()}


class Pairs(Case):
    """Preference tuning."""

    def __call__(self, folder: Path, trainer: TrainerConfig, on_log: Any = None) -> Outcome:
        settings = tiny_training(batch_size=4)
        model = tiny_model("llama", vocab_size=200)
        data = pair_data(folder, settings, held_out=PAIRS[:2])
        report = train_model(
            model, None, data, settings, Trainable.full, trainer, work_dir=folder, seed=0,
            preference=DpoNormalised(beta=1.0), on_log=on_log,
        )  # fmt: skip
        return report, dict(model.state_dict())


class InTurn:
    """A table's own text for one process and a mixed pair for the other; then its own for both."""

    def __init__(self, batches: list[dict[str, torch.Tensor]]) -> None:
        self.batches = batches

    def prepare_data(self) -> None: ...
    def setup(self, stage: str | None = None) -> None: ...
    def val_dataloader(self) -> list[Any]:
        return []

    def train_dataloader(self) -> list[Any]:
        return self.batches

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class TwoTables(Case):
    """A Hydra LLM one of whose tables a batch leaves out."""

    def __call__(self, folder: Path, trainer: TrainerConfig, on_log: Any = None) -> Outcome:
        settings = TrainingConfig(steps=4, batch_size=2, sequence_length=32, lr=1e-2)
        made, _ = hydra("llama", False)
        view = made.view("xx", ["en"], joint=True)
        own = PAIR._replace(prompt="paka juu :", read="xx")
        encoder = encoder_of(view)
        data = InTurn([batch_of(encoder.encode(turns)) for turns in ([own, PAIR], [own, own])])
        report = train_model(
            view.model, None, data, settings, Trainable.embeddings, trainer, work_dir=folder,
            seed=0, on_log=on_log,
        )  # fmt: skip
        return report, {name: p.detach() for name, p in made.named_parameters()}


CASES: dict[str, Case] = {
    "ddp_untied": Plain(DDP, "llama", Trainable.embeddings, validate_every=2),
    "ddp_pairs": Pairs(DDP),
    "ddp_two_tables": TwoTables(DDP),
    "tied": Plain(FSDP, "gemma2", Trainable.embeddings, validate_every=2),
    "untied_anchored": Plain(FSDP, "llama", Trainable.embeddings, anchor=1.0),
    "lora": Plain(FSDP, "gpt2", Trainable.lora, lora=LoraConfig(rank=2)),
    "body": Plain(FSDP, "gemma2", Trainable.body, weight_decay=0.1, activation_checkpointing=True),
    # sums of bfloat16 products differ with the rows at hand
    "bfloat16_body": Plain(
        FSDP, "llama", Trainable.embeddings, loose=True, body_dtype=BodyType.bfloat16
    ),
    "pairs": Pairs(FSDP),
}


def die_at_two(point: dict[str, float]) -> None:
    """Of two processes that a training started, the second is killed."""
    if os.environ.get("LOCAL_RANK") == "1" and point["step"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def play(
    rank: int, port: int, folder: Path, names: list[str], results: Any, signalled: bool
) -> None:
    """One of two nodes; the first puts what became of each training into ``results``.

    ``signalled``: the first sends SIGUSR1 to the second at step 2.
    """
    torch.set_num_threads(1)
    team = Team.meet(Place(rank, 2, 0, rank, "127.0.0.1", port), gpu=False)
    if rank:
        (folder / "pid").write_text(str(os.getpid()))

    def tell(point: dict[str, float]) -> None:
        if signalled and point["step"] == 2:
            os.kill(int((folder / "pid").read_text()), signal.SIGUSR1)

    for name in names:
        try:
            if rank:
                team.follow()
                continue
            with team.leading():
                case = CASES[name]
                report, weights = case(folder / name, replace(case.trainer, num_nodes=2), tell)
            plain = {key: value.numpy() for key, value in weights.items()}
            results.put((name, report.to_json(), plain))
        except Interrupted as error:
            results.put((name, rank, str(error)))
    team.close()
