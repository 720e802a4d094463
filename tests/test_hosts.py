"""Ranks spread over hosts, each with a process of its own: the text of one rank, and what the death of one does.

First both processes here, told of each other by flags; then two network namespaces under mpirun, where this is root and
has them."""
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time

import httpx
import pytest

from minimax_server import BINARY, PARSERS, ROOT, Server, eventually
from test_layouts import first_replies

LIMIT = 5  # seconds from a death to the end of all


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Host:
    """A process of a higher rank."""

    def __init__(self, *flags: str) -> None:
        self.process = subprocess.Popen([BINARY, "serve", "tiny", "--kv-cache-memory-bytes", "256M", *flags],
                                        stderr=subprocess.PIPE, text=True, cwd=ROOT)

    def end(self, seconds: float = LIMIT) -> tuple[int, str]:
        code = self.process.wait(timeout=seconds)
        return code, self.process.stderr.read()


def start(hosts: int, *flags: str) -> tuple[Server, list[Host]]:
    common = [*PARSERS, "--nnodes", str(hosts), "--master-port", str(free_port()), *flags]
    others = [Host(*common, "--node-rank", str(rank)) for rank in range(1, hosts)]
    return Server(*common, "--node-rank", "0"), others


@pytest.mark.parametrize("hosts,flags", [(2, ("-tp", "2")), (2, ("-tp", "4", "-ep")), (4, ("-tp", "4"))],
                         ids=["tp2", "tp4-ep", "four hosts"])
def test_hosts_give_the_text_and_the_logprobs_of_one_rank(hosts, flags, server):
    one_rank = first_replies(server)
    spread, others = start(hosts, *flags)
    try:
        assert first_replies(spread) == one_rank
    finally:
        assert spread.stop() == 0
        for other in others:
            code, log = other.end()
            assert code == 0 and "host 0 has ended" in log


def stream(server: Server, failure: list) -> None:
    body = {"prompt": "The weather", "max_tokens": 4000, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", server.url + "/v1/completions", json=body, timeout=60) as reply:
        for line in reply.iter_lines():
            if "error" in line:
                failure.append(line)
            elif line.startswith("data: {"):
                failure.append(None)


@pytest.mark.parametrize("busy", [True, False], ids=["in a step", "idle"])
def test_the_death_of_a_host_ends_all(busy):
    server, (other,) = start(2, "-tp", "2")
    seen: list = []
    reader = threading.Thread(target=stream, args=(server, seen))
    if busy:
        reader.start()
        assert eventually(lambda: len(seen) > 3)
    died = time.monotonic()
    other.process.send_signal(signal.SIGKILL)
    reasons: list[str] = []

    def unwell() -> bool:
        health = httpx.get(server.url + "/health")
        reasons.append(health.text)
        return health.status_code == 503
    assert eventually(unwell, LIMIT)
    assert re.search(r"host 1 \(127\.0\.0\.1\)", reasons[-1])
    if busy:
        reader.join()
        assert re.search(r"host 1 \(127\.0\.0\.1\)", seen[-1] or ""), seen[-1]
    assert server.process.wait(timeout=LIMIT) == 1
    assert time.monotonic() - died < LIMIT + 1


def test_the_death_of_the_first_ends_the_others():
    server, (other,) = start(2, "-tp", "2")
    server.process.send_signal(signal.SIGKILL)
    code, log = other.end()
    assert code == 1 and re.search(r"host 0 \(127\.0\.0\.1\) has ended", log)


def test_hosts_that_are_started_differently_say_how():
    port = str(free_port())
    flags = [*PARSERS, "--nnodes", "2", "-tp", "2", "--master-port", port]
    other = Host(*flags, "--node-rank", "1", "--block-size", "32")
    with pytest.raises(RuntimeError, match='host 0 has "--block-size: 16", host 1 has "--block-size: 32"'):
        Server(*flags, "--node-rank", "0")
    code, log = other.end()
    assert code != 0 and "--block-size" in log


@pytest.mark.parametrize("flags,sentence", [
    (["--nnodes", "2", "-tp", "3"], "the nearest is 4"),
    (["--nnodes", "2", "--node-rank", "2", "-tp", "2"], "expected less than --nnodes, which is 2"),
    (["--node-rank", "1"], "--nnodes is 1"),
    (["--nnodes", "2", "-tp", "2", "--master-addr", ""], "--master-addr takes an address"),
    (["--nnodes", "2", "-tp", "2", "-dp", "2"], "replicas are of one host so far"),
    (["--nnodes", "2", "-tp", "2", "--backend", "ref"], "ref"),
    (["--nnodes", "2", "-tp", "2", "--master-addr", "no.such.host.invalid"], "no.such.host.invalid"),
])
def test_what_hosts_cannot_be_is_refused(flags, sentence):
    with pytest.raises(RuntimeError, match=re.escape(sentence)):
        Server(*flags)


# ---------------------------------------------------------------------------------------------------------------------
# Two hosts as two network namespaces, started by Open MPI as on two machines.

HOSTS = {"mmx-a": "10.99.7.1", "mmx-b": "10.99.7.2"}


def has_mpi() -> bool:
    return "libmpi" in subprocess.run(["ldd", BINARY], capture_output=True, text=True).stdout


def ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def two_hosts(tmp_path_factory):
    """mpirun's words that start a program on both."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("two network namespaces need root and ip (iproute2)")
    if shutil.which("mpirun") is None:
        pytest.skip("mpirun (openmpi-bin) is not installed")
    for name in HOSTS:
        ip("netns", "del", name)
    if not all(ip("netns", "add", name) for name in HOSTS):
        pytest.skip("this machine gives no network namespaces")
    a, b = HOSTS
    made = ip("link", "add", "mmx0", "netns", a, "type", "veth", "peer", "name", "mmx0", "netns", b)
    for name, address in HOSTS.items():
        made = made and ip("-n", name, "addr", "add", address + "/24", "dev", "mmx0")
        made = made and ip("-n", name, "link", "set", "mmx0", "up") and ip("-n", name, "link", "set", "lo", "up")
    if not made:
        pytest.skip("this machine joins no network namespaces")
    # What ssh would do.
    agent = tmp_path_factory.mktemp("mpi") / "into"
    names = " ".join(f'{address}) name={name};;' for name, address in HOSTS.items())
    agent.write_text(f'#!/bin/sh\ncase $1 in {names} esac\nshift\nexec ip netns exec $name sh -c "$*"\n')
    agent.chmod(agent.stat().st_mode | stat.S_IXUSR)
    yield ["ip", "netns", "exec", a, "mpirun", "--allow-run-as-root", "-np", "2", "--host", ",".join(HOSTS.values()),
           "--mca", "plm_rsh_agent", str(agent), "--mca", "btl_tcp_if_include", "10.99.7.0/24",
           "--mca", "oob_tcp_if_include", "10.99.7.0/24"]
    for name in HOSTS:
        ip("netns", "del", name)


class MpiServer:
    def __init__(self, words: list[str], *flags: str) -> None:
        self.process = subprocess.Popen([*words, str(BINARY), "serve", "tiny", "--host", "0.0.0.0", "--port", "8765", *PARSERS,
                                         "--kv-cache-memory-bytes", "256M", *flags],
                                        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT)
        self.lines: list[str] = []
        for line in self.process.stderr:
            self.lines.append(line)
            if "listening on" in line:
                break
        else:
            raise RuntimeError("no server: " + "".join(self.lines))
        self.rest = threading.Thread(target=lambda: self.lines.extend(self.process.stderr))
        self.rest.start()

    def curl(self, path: str, *words: str) -> str:
        done = subprocess.run(["ip", "netns", "exec", "mmx-a", "curl", "-sS", "--max-time", "60", *words,
                               f"http://{HOSTS['mmx-a']}:8765{path}"], capture_output=True, text=True)
        return done.stdout


def processes_in(name: str) -> list[int]:
    found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()
    return [int(pid) for pid in found if "minimax" in open(f"/proc/{pid}/comm").read()]


@pytest.mark.parametrize("master", [False, True], ids=["MPI tells", "--master-addr"])
def test_two_hosts_under_mpirun(two_hosts, master, server):
    if not master and not has_mpi():
        pytest.skip("built without MPI (cmake -DENABLE_MPI=ON)")
    flags = ["--master-addr", HOSTS["mmx-a"]] if master else []
    spread = MpiServer(two_hosts, "-tp", "2", *flags)
    try:
        body = '{"prompt": "The weather in Paris is", "max_tokens": 60, "temperature": 0, "ignore_eos": true, "logprobs": 2}'
        one = httpx.post(server.url + "/v1/completions", content=body, headers={"Content-Type": "application/json"}).json()
        two = httpx.Response(200, text=spread.curl("/v1/completions", "-H", "Content-Type: application/json", "-d", body)).json()
        assert two["choices"] == one["choices"]

        told: list[str] = []
        long_body = '{"prompt": "The weather", "max_tokens": 4000, "ignore_eos": true, "stream": true}'
        reader = threading.Thread(target=lambda: told.append(
            spread.curl("/v1/completions", "-N", "-H", "Content-Type: application/json", "-d", long_body)))
        reader.start()
        time.sleep(1)
        (far,) = processes_in("mmx-b")
        died = time.monotonic()
        os.kill(far, signal.SIGKILL)
        reader.join()
        assert re.search(r"error.*host 1 \(10\.99\.7\.2\)", told[0]), told[0][-500:]
        assert spread.process.wait(timeout=LIMIT) != 0
        assert time.monotonic() - died < LIMIT
        assert processes_in("mmx-a") == [] and processes_in("mmx-b") == [], "nothing stays behind"
    finally:
        spread.process.kill()
