"""The flags of `serve` as start scripts write them. No model is loaded: a folder that does not exist ends with
code 1 once the command line is understood; a command line that is not understood ends with code 2."""

import re
from pathlib import Path

import pytest

from cli_tools import flags_of, refused, run

MISSING = "/nonexistent/model"


def understood(*words, **more):
    done = run("serve", MISSING, *words, **more)
    assert done.returncode == 1 and MISSING in done.stderr, done.stderr
    return done.stderr


@pytest.mark.parametrize("command", [
    "--tensor-parallel-size 4 --tool-call-parser minimax_m2 --reasoning-parser minimax_m2_append_think "
    "--enable-auto-tool-choice",
    "--data-parallel-size 8 --enable-expert-parallel",
    "--tensor-parallel-size 4 --tool-call-parser minimax_m2 --reasoning-parser minimax_m2 --enable-auto-tool-choice",
    "--trust-remote-code --enable_expert_parallel --tensor-parallel-size 8 --enable-auto-tool-choice "
    "--tool-call-parser minimax_m2 --reasoning-parser minimax_m2_append_think",
])
def test_the_commands_of_the_guide_parse(command):
    understood(*command.split())


@pytest.mark.parametrize("words", [
    ["--tensor-parallel-size=4"], ["--tensor_parallel_size", "4"], ["--tensor_parallel_size=4"], ["--tensor", "4"],
    ["-tp", "4"], ["-tp=4"],
])
def test_the_ways_to_write_a_value(words):
    assert "--tensor-parallel-size: " in understood(*words)


@pytest.mark.parametrize("words", [
    ["-O3"], ["-O", "3"], ["-O=3"], ["--compilation-config", "3"], ["--compilation-config", '{"cudagraph_mode": "PIECEWISE"}'],
    ['--compilation-config={"cudagraph_mode": "FULL_DECODE_ONLY"}'], ["--compilation-config.cudagraph_mode", "PIECEWISE"],
    ["--compilation_config.cudagraph_mode=NONE", "--compilation-config.pass_config.enable_noop", "true"],
    ["-O.cudagraph_mode=PIECEWISE", "-cc.mode", "3"], ["-cc", '{"mode": 3}'],
])
def test_the_ways_to_write_graph_modes(words):
    notes = understood(*words)
    assert len(re.findall("--compilation-config: ", notes)) == 1


@pytest.mark.parametrize("words, says", [
    (["--compilation-config", "{cudagraph"], ["--compilation-config", "{cudagraph"]),
    (["--compilation-config", "[1]"], ["--compilation-config", "JSON object"]),
    (["--port.x", "1"], ["--port.x", "no JSON object"]),
    (["-O..", "1"], ["--compilation-config"]),
    (["--port", "http"], ["--port", "whole number", "http"]),
    (["--port", "70000"], ["--port", "65535"]),
    (["--port="], ["--port"]),
    (["--enable-prefix-caching=1"], ["--enable-prefix-caching", "no value"]),
    (["--max-num-seqs", "0"], ["--max-num-seqs", "between 1"]),
    (["--max-num-seqs", "1e3"], ["--max-num-seqs", "1e3"]),
    (["--max-num-seqs", "99999999999999999999"], ["--max-num-seqs"]),
    (["--max-model-len", "0"], ["--max-model-len"]),
    (["--max-model-len", "-2"], ["--max-model-len"]),
    (["--max-num", "4"], ["ambiguous", "--max-num-seqs", "--max-num-batched-tokens"]),
    (["--max-num-batched-tokens", "0"], ["--max-num-batched-tokens"]),
    (["--max-waiting-requests", "-1"], ["--max-waiting-requests"]),
    (["--tensor-parallel-size", "many"], ["--tensor-parallel-size", "many"]),
    (["--gpu-memory-utilization", "90"], ["--gpu-memory-utilization", "between 0 and 1"]),
    (["--load-format", "pt"], ["--load-format", "auto, safetensors, dummy", "pt"]),
    (["--dtype", "half"], ["--dtype half: ", "bfloat16"]),
    (["--dtype", "int8"], ["--dtype", "auto, bfloat16", "int8"]),
    (["--quantization", "awq"], ["--quantization", "fp8", "awq"]),
    (["--kv-cache-dtype", "fp8_e5m2"], ["--kv-cache-dtype fp8_e5m2: of the fp8 formats", "e4m3"]),
    (["--kv-cache-dtype", "int4"], ["--kv-cache-dtype", "auto, bfloat16, fp8, fp8_e4m3"]),
    (["--load-format", "dummy"], ["--load-format dummy", "--backend cuda"]),
    (["--max-held-request-bytes", "1M"], ["--max-held-request-bytes", "--max-request-bytes"]),
    (["--logprobs-mode", "processed_logits"], ["--logprobs-mode", "raw_logprobs"]),
    (["--scheduling-policy", "sjf"], ["--scheduling-policy", "fcfs, priority"]),
    (["--tool-call-parser", "hermes"], ["--tool-call-parser", "minimax_m2", "hermes"]),
    (["--reasoning-parser", "qwen3"], ["--reasoning-parser", "minimax_m2_append_think", "qwen3"]),
    (["--enable-auto-tool-choice"], ["--enable-auto-tool-choice needs --tool-call-parser"]),
    (["--backend", "tpu"], ["--backend", "cpu, cuda, ref"]),
    (["--cpu-isa", "sse2"], ["--cpu-isa", "avx512"]),
    (["--linear-precision", "int4"], ["--linear-precision", "w8a16"]),
    (["--threads", "0"], ["--threads"]),
    (["--block-size", "0"], ["--block-size"]),
    (["--block-size", "4"], ["--block-size must be a multiple of 16", "but is 4"]),
    (["--allowed-origins", "*"], ["--allowed-origins", "JSON list"]),
    (["--allowed-methods", "[1]"], ["--allowed-methods", "strings"]),
    (["--allowed-headers", "{}"], ["--allowed-headers", "JSON list"]),
    (["--override-generation-config", "temperature=1"], ["--override-generation-config", "JSON object"]),
    (["--default-chat-template-kwargs", "[]"], ["--default-chat-template-kwargs", "JSON object", "array"]),
    (["--api-key", ""], ["--api-key", "empty"]),
    (["--request-timeout", "soon"], ["--request-timeout", "soon"]),
    (["--shutdown-timeout", "-1"], ["--shutdown-timeout"]),
    (["--max-request-bytes", "1"], ["--max-request-bytes"]),
    (["--max-logprobs", "-2"], ["--max-logprobs"]),
    (["--seed", "-1"], ["--seed"]),
    (["--uvicorn-log-level", "chatty"], ["--uvicorn-log-level", "warning"]),
    (["--kv-cache-memory-bytes", "much"], ["--kv-cache-memory-bytes", "much"]),
    (["--model", "other"], ["twice"]),
    (["-dp", "4", "--rank-proxy", "0", "--backend", "cuda"], ["--data-parallel-size 4", "one replica"]),
])
def test_a_bad_value_is_refused_by_name(words, says):
    refused("serve", MISSING, *words, code=2, says=says)


def test_a_model_without_a_name_is_refused():
    refused("serve", "", code=2, says=["the model's name is empty"])


def test_counts_take_the_suffixes():
    understood("--max-model-len", "32k", "--max-num-batched-tokens", "8K", "--kv-cache-memory-bytes", "1.5g")


ROWS = flags_of("serve")
REFUSED = [name for name, text in ROWS.items() if "Refused:" in text]
ACCEPTED = [name for name, text in ROWS.items() if "Accepted:" in text]
DONE = [name for name in ROWS if name not in REFUSED + ACCEPTED]


def takes_value(name):
    return re.search(r"--\S+(, -\S+| -\S+)* (?!Accepted|Refused)[A-Z]", ROWS[name].split("  ")[1]) is not None


def value_words(name):
    values = {"--gpu-memory-utilization": "0.9", "--compilation-config": "{}"}
    return [name, values.get(name, "1")] if takes_value(name) else [name]


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_flag_says_why_in_one_line_and_ends(name):
    done = refused("serve", MISSING, *value_words(name), code=2, says=[name + ": "])
    assert MISSING not in done.stderr


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_accepted_flag_says_in_one_line_why_there_is_nothing_to_do(name):
    lines = [line for line in understood(*value_words(name)).splitlines() if name + ": " in line]
    assert len(lines) == 1


def test_every_flag_that_is_done_has_a_test_of_its_effect():
    folder = Path(__file__).parent
    tests = "".join((folder / f"test_cli_{name}.py").read_text() for name in ("serve", "effects", "location"))
    tests += (folder.parent / "test_hosts.py").read_text()
    assert [name for name in DONE if f'"{name}"' not in tests and f'"--no-{name[2:]}"' not in tests] == []


PEER = """host port uds api-key ssl-keyfile ssl-certfile ssl-ca-certs ssl-cert-reqs root-path middleware allowed-origins
allowed-methods allowed-headers allow-credentials served-model-name max-model-len gpu-memory-utilization
max-num-batched-tokens max-num-seqs enable-prefix-caching enable-chunked-prefill block-size kv-cache-dtype
kv-cache-memory-bytes cpu-offload-gb kv-offloading-size swap-space scheduling-policy stream-interval async-scheduling
max-logprobs logprobs-mode generation-config override-generation-config seed dtype quantization tensor-parallel-size
pipeline-parallel-size data-parallel-size data-parallel-rank data-parallel-size-local data-parallel-address
data-parallel-rpc-port data-parallel-backend data-parallel-hybrid-lb data-parallel-external-lb enable-expert-parallel
enable-eplb all2all-backend moe-backend attention-backend enforce-eager compilation-config speculative-config
enable-sleep-mode enable-lora load-format safetensors-load-strategy trust-remote-code tokenizer tokenizer-mode revision
download-dir enable-auto-tool-choice tool-call-parser tool-parser-plugin reasoning-parser chat-template
chat-template-content-format default-chat-template-kwargs structured-outputs-config exclude-tools-when-tool-choice-none
enable-prompt-tokens-details enable-force-include-usage enable-request-id-headers enable-log-requests
enable-log-outputs disable-uvicorn-access-log disable-log-stats shutdown-timeout api-server-count headless
max-num-partial-prefills calculate-kv-scales hf-overrides distributed-executor-backend""".split()


@pytest.mark.parametrize("name", PEER)
def test_the_flags_of_the_peer_are_known(name):
    assert "--" + name in ROWS


def test_a_config_file_gives_flags_and_the_command_line_wins(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("model: other/model\ntensor_parallel_size: 4\nenable-auto-tool-choice: true\n"
                      "tool-call-parser: minimax_m2\nport: 99999\ncompilation-config: {cudagraph_mode: PIECEWISE}\n")
    refused("serve", MISSING, "--config", config, code=2, says=["--port"])
    notes = understood("--config", config, "--port", "0", "--compilation-config.mode", "3")
    assert "--tensor-parallel-size: " in notes and "--compilation-config: " in notes
    refused("serve", "--config", config, "--port", "0", code=1, says=["other/model"])


@pytest.mark.parametrize("text, says", [
    ("prot: 1\n", ["line 1", "prot", "did you mean port?"]),
    ("port: [1\n", []),
    ("- a\n- b\n", ["map of flags"]),
    ("enable-auto-tool-choice: maybe\n", ["true or false"]),
    ("host: x\npipeline-parallel-size: 2\n", ["pipeline parallelism"]),
])
def test_a_bad_config_file_is_refused_by_file_and_key(tmp_path, text, says):
    config = tmp_path / "bad.yaml"
    config.write_text(text)
    named = [] if "pipeline" in text else [config]
    refused("serve", MISSING, "--config", config, code=2, says=says + named)


def test_a_config_file_that_is_not_there():
    refused("serve", MISSING, "--config", "/nonexistent.yaml", code=2, says=["--config", "/nonexistent.yaml"])
