"""Every value of a layer within its derived bound of float64 (docs/numerics.md): tools/compare_taps.py on a small checkpoint."""
import json
import subprocess
import sys

import pytest

from minimax_server import BINARY, ROOT

TAPS_DUMP = BINARY.parent / "src/backend/taps_dump"
pytestmark = pytest.mark.skipif(not TAPS_DUMP.exists(), reason=f"SKIPPED: {TAPS_DUMP} is built with the unit tests only")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numerics") / "small"
    subprocess.run([BINARY, "synth", folder, "--preset", "small", "--seed", "7"], check=True, stderr=subprocess.DEVNULL)
    return folder


def compare(folder, *flags: str, taps_dump=TAPS_DUMP) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / "tools/compare_taps.py", folder, "--taps-dump", taps_dump, "--rows", "9", *flags],
                          capture_output=True, text=True)


@pytest.mark.parametrize("past", [0, 1500])
def test_every_tap_is_within_its_bound_with_kv_in_fp8(small, past):
    done = compare(small, "--backend", "ref,cpu,cpu-scalar", "--arithmetic", "w8a16", "--past", str(past), "--kv-dtype", "fp8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("| `attn` | 9216 |") == 3, done.stdout


@pytest.mark.parametrize("own, other", [("fp8", "bfloat16"), ("bfloat16", "fp8")])
def test_another_kv_dtype_is_told(small, tmp_path, own, other):
    """The other side's KV cache is not what it is said to be: attention, and nothing else, is beyond its bound."""
    wrapper = tmp_path / "taps_dump"
    flags = 'exec "$0.real" "$@" --kv-dtype ' + other
    (tmp_path / "taps_dump.real").symlink_to(TAPS_DUMP)
    wrapper.write_text(f"#!/bin/sh\n{flags}\n")
    wrapper.chmod(0o755)
    done = compare(small, "--backend", "cpu", "--arithmetic", "w8a16", "--past", "100", "--kv-dtype", own, taps_dump=wrapper)
    assert done.returncode == 1, done.stdout + done.stderr
    assert {line.split("`")[1] for line in done.stdout.splitlines() if "beyond**" in line} == {"attn"}, done.stdout


@pytest.mark.parametrize("past", [0, 1500])
def test_every_tap_is_within_its_bound(small, past):
    done = compare(small, "--backend", "ref,cpu,cpu-scalar", "--past", str(past))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("| `attn` | 9216 |") == 9, done.stdout  # three back-ends, three arithmetics, all compared


def test_an_error_beyond_its_bound_is_told(small, tmp_path):
    """The other side's angles are off by up to one part in a thousand."""
    folder = tmp_path / "off"
    folder.mkdir()
    for path in small.iterdir():
        (folder / path.name).symlink_to(path)
    config = json.loads((small / "config.json").read_text())
    config["rope_theta"] *= 1.001
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config))
    wrapper = tmp_path / "taps_dump"
    wrapper.write_text(f'#!/bin/sh\nshift\nexec "{TAPS_DUMP}" "{folder}" "$@"\n')
    wrapper.chmod(0o755)
    done = compare(small, "--backend", "cpu", "--arithmetic", "w8a8", taps_dump=wrapper)
    assert done.returncode == 1, done.stdout + done.stderr
    beyond = {line.split("`")[1] for line in done.stdout.splitlines() if "beyond**" in line}
    assert beyond == {"q_rope", "k_rope"}, done.stdout
