"""What is compared with a plain Hydra application: the time until help or an error is there."""

import sys

from job import Command, Job, ours


def _start(title: str, goal: str, wanted: list[str], key: list[str], *, refused: bool) -> Job:
    def run(*command: object) -> Command:
        whole = [sys.executable, *map(str, command)]
        return ours("start.py", "refused", *whole) if refused else whole

    return Job(
        title=title,
        peer="a plain Hydra application of the shape of lightning-hydra-template, which is no "
        "package",
        requirements=(),
        goal=goal,
        needs=(),
        before=(lambda _, folder, __: ours("start.py", "app", folder),),
        franken=lambda _, folder, __: run("-m", "franken", *wanted),
        other=lambda _, folder, __: run(folder / "train.py", *key),
    )


START_JOBS = {
    "start_help": _start("--help", "<= 0.4 s", ["--help"], ["--help"], refused=False),
    "start_wrong_key": _start(
        "A wrong key", "<= 1.2 s", ["+experiment=quickstart", "training.adaptation.step=3"],
        ["trainer.max_epoch=3"], refused=True,
    ),
}  # fmt: skip
