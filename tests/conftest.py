"""Fixtures of the end-to-end tests."""
import pytest

from minimax_server import PARSERS, Server


@pytest.fixture(scope="session")
def server():
    running = Server(*PARSERS, "--enable-prompt-tokens-details")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="session")
def client(server):
    return server.client()
