"""Which process of several this is, by what launchers set."""

import pytest

from franken.errors import ConfigError
from franken.processes import Place, place_of
from tests.faults import raises

TORCHRUN = {
    "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "GROUP_RANK": "1",
    "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29400",
}  # fmt: skip
SRUN = {
    "SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0", "SLURM_JOB_ID": "123456",
    "SLURM_NODELIST": "node[07-09]",
}  # fmt: skip
BY_HAND = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29400", "NODE_RANK": "1"}


def test_torchrun_srun_and_variables_set_by_hand():
    assert place_of(2, 2, TORCHRUN) == Place(3, 4, 1, 1, "10.0.0.1", 29400)
    assert place_of(2, 2, SRUN) == Place(2, 4, 0, 1, "node07", 18456)
    assert place_of(1, 2, BY_HAND) == Place(1, 2, 0, 1, "10.0.0.1", 29400)
    assert place_of(2, 2, BY_HAND | {"LOCAL_RANK": "1"}) == Place(3, 4, 1, 1, "10.0.0.1", 29400)


def test_a_process_that_was_started_alone_has_no_place():
    assert place_of(1, 1, {}) is None
    assert place_of(4, 1, {}) is None  # it starts the others itself
    assert place_of(1, 1, SRUN) is None  # each task a job of its own
    assert place_of(1, 1, TORCHRUN | {"RANK": "0", "WORLD_SIZE": "1"}) is None


@pytest.mark.parametrize(
    ("devices", "nodes", "variables", "named"),
    [(1, 1, TORCHRUN, "trainer.devices=1"), (2, 1, TORCHRUN, "trainer.num_nodes=1"),
     (2, 1, SRUN, "trainer.num_nodes=1"), (2, 2, BY_HAND, "NODE_RANK"),
     (1, 2, {}, "trainer.num_nodes=2"), (1, 2, BY_HAND | {"MASTER_PORT": "any"}, "'any'")],
)  # fmt: skip
def test_numbers_that_do_not_agree_are_refused(devices, nodes, variables, named):
    with raises(ConfigError, named):
        place_of(devices, nodes, variables)
