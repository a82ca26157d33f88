"""Hydra loads launchers from packages of this name only; what this one does is in franken/cli.

``conf/hydra/launcher/franken.yaml`` chooses it.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn

# The presets of conf/hydra/launcher are checked by the schemas that the launchers' packages register
# under the same names. Hydra 1.3 warns that it is about to stop that, in every process; it goes on.
warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated", UserWarning)


class FrankenLauncher(BasicLauncher):
    """Jobs one after the other: all, or with ``sweep.take=free`` those that nobody else has."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs of a batch in this process."""
        assert self.config is not None
        sweep = self.config.get("sweep")
        if sweep is None or sweep.take != "free":
            return super().launch(job_overrides, initial_job_idx)
        from franken.cli.taking import take_jobs

        found: list[JobReturn] = []
        take_jobs(
            range(initial_job_idx, initial_job_idx + len(job_overrides)),
            Path(str(self.config.hydra.sweep.dir)),
            lambda n: found.extend(
                BasicLauncher.launch(self, [job_overrides[n - initial_job_idx]], n)
            ),
            attempts=sweep.attempts,
            wait=sweep.wait,
        )
        return found
