import os

import pytest

import cli_tools


def pytest_configure(config):
    if not os.access(cli_tools.MINIMAX, os.X_OK):
        raise pytest.UsageError(f"{cli_tools.MINIMAX} is no program: build it, or name it in MINIMAX")


@pytest.fixture(autouse=True)
def _limit(request):
    request.node.add_marker(pytest.mark.timeout(120))


@pytest.fixture(scope="session")
def server():
    """One server of the shipped model, with the parsers on; tests change nothing in it."""
    with cli_tools.Server("tiny", *cli_tools.PARSERS) as running:
        yield running


@pytest.fixture(scope="session")
def synth_dir(tmp_path_factory):
    """A small random checkpoint with the tokenizer of the shipped model."""
    folder = tmp_path_factory.mktemp("synth") / "checkpoint"
    done = cli_tools.run("synth", folder, "--preset", "small", "--vocab", "2048", "--context", "512",
                         "--tokenizer", cli_tools.TINY / "tokenizer.json", "--seed", "3")
    assert done.returncode == 0, done.stderr
    return folder
