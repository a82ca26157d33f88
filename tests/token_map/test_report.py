"""The report that goes with a table."""

import json

import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.init_method import initialise, provenance_report
from franken.init_method.mean import MeanInit
from franken.init_method.subtoken_mean import SubtokenMeanInit
from tests.init_method.tiny import RESOURCES, hand_made_map, source_table, target_tokenizer

KIND = TokenizerKind.byte_level_bpe


@pytest.fixture(scope="module")
def made():
    return initialise(source_table(KIND), target_tokenizer(KIND), SubtokenMeanInit(), RESOURCES, 0)


def test_a_report_is_plain_json_with_counts_and_examples(made):
    table, token_map = made
    report = json.loads(json.dumps(table.provenance))
    assert report["method"] == "subtoken_mean"
    assert report["options"]["copy_overlap"] is True
    assert report["counts"] == token_map.counts()
    assert len(report["examples"]["computed"]) == 5
    assert all(" <- " in example for example in report["examples"]["computed"])


def test_norms_are_told_by_provenance_over_common_bins(made):
    table, token_map = made
    norms = table.provenance["norms"]
    computed = table.input[token_map.provenance == 2].norm(dim=1)
    assert norms["computed"]["mean"] == pytest.approx(computed.mean().item(), rel=1e-5)
    assert sum(norms["computed"]["histogram"]) == len(computed)
    assert len(norms["bin_edges"]) == 21


def test_doubled_rows_are_counted_without_padding():
    table = torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 1.0], [2.0, 1.0], [3.0, 1.0], [1.0, 2.0]])
    token_map = hand_made_map([{}] * 6, [3, 3, 3, 3, 3, 4], source_rows=1)
    for dtype in (torch.float32, torch.bfloat16):
        report = provenance_report(token_map, table.to(dtype))
        assert report["doubled_rows"] == {"groups": 2, "rows": 4}


def test_mean_rows_are_all_doubles_and_noise_parts_them():
    source, target = source_table(KIND), target_tokenizer(KIND)
    plain, token_map = initialise(source, target, MeanInit(), RESOURCES, 0)
    noisy, _ = initialise(source, target, MeanInit(noise_std=0.01), RESOURCES, 0)
    new = token_map.counts()["fallback"]
    assert plain.provenance["doubled_rows"] == {"groups": 1, "rows": new}
    assert noisy.provenance["doubled_rows"] == {"groups": 0, "rows": 0}
    assert plain.provenance["without_weights"] == new
