"""docs/scale.md is what tools/scale.py calculates from bench/results."""
import subprocess
import sys

import pytest

from minimax_server import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import scale  # noqa: E402


def test_the_page_is_what_the_program_calculates():
    done = subprocess.run([sys.executable, ROOT / "tools/scale.py"], capture_output=True, text=True, check=True)
    assert done.stdout == (ROOT / "docs/scale.md").read_text()


def test_work_of_a_rank():
    one = scale.tensor_parallel(1, 0, 1)
    # 10.42 B active parameters: what one token reads of a model on one GPU, router and head wider than a byte.
    active = scale.LAYERS * (scale.ATTENTION + 8 * scale.EXPERT) + scale.VOCAB * scale.HIDDEN
    assert one.flops == pytest.approx(2 * active)
    assert one.bytes == pytest.approx(active + scale.VOCAB * scale.HIDDEN + scale.LAYERS * scale.ROUTER)
    halves = scale.tensor_parallel(1, 1000, 2)
    assert halves.bytes < 0.51 * scale.tensor_parallel(1, 1000, 1).bytes + scale.LAYERS * scale.ROUTER
    # One rank that holds all experts reads what tensor parallelism of one reads, but for the draw of the experts.
    assert scale.expert_parallel(64, 500, 1, 1).bytes == pytest.approx(scale.tensor_parallel(64, 500, 1).bytes, rel=0.02)


def test_experts_met():
    assert scale.distinct(1) == pytest.approx(8)
    assert scale.distinct(10) == pytest.approx(69.6, abs=0.05)
    met, rows = scale.fullest(256, 8)
    assert 31.5 < met < 32.01 and 256 < rows < 330


def test_the_fit_holds_where_it_was_measured():
    measured = scale.Measured()
    assert len(measured.errors) == 8
    for (batch, _, rows), _, error in measured.errors:
        assert abs(error) < (0.07 if rows == batch else 0.3)
