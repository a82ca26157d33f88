"""Hydra loads launchers from packages of this name only; what this one does is in franken/cli.

``conf/hydra/launcher/franken.yaml`` chooses it.
"""

from collections.abc import Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn

from franken.cli.launchers import quiet_about_presets

quiet_about_presets()  # in processes that a launcher starts, which unpickle what is here


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
