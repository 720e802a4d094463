"""inspect, synth and bench step."""

import hashlib
import json
import re

import pytest

from cli_tools import PARSERS, TINY, copy_model, refused, replace, run, Server


def report_of(model, *words):
    done = run("inspect", model, "--json", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_inspect_reports_what_the_files_hold():
    report = report_of("tiny")
    config = json.loads((TINY / "config.json").read_text())
    index = json.loads((TINY / "model.safetensors.index.json").read_text())
    assert report["architecture"]["layers"] == config["num_hidden_layers"]
    assert report["architecture"]["rotary_dim"] == config["rotary_dim"]
    assert report["checkpoint"]["tensors"] == len(index["weight_map"])
    assert report["checkpoint"]["bytes"] == sum(report["checkpoint"]["bytes_by_dtype"].values())
    assert report["checkpoint"]["bytes"] == sum(report["checkpoint"]["bytes_by_role"].values())
    assert report["parameters"]["active"] < report["parameters"]["total"]


def test_inspect_says_the_same_as_text():
    done = run("inspect", "tiny")
    assert done.returncode == 0
    for piece in ("minimax_m2", "16.79 M total", "251 tensors", "fp8"):
        assert piece in done.stdout


def test_inspect_plans_a_layout():
    one, two = report_of("tiny")["memory"], report_of("tiny", "-tp", "2")["memory"]
    assert two["tensor_parallel_size"] == 2
    assert one["rank_weight_bytes"] / 2 <= two["rank_weight_bytes"] < one["rank_weight_bytes"]
    assert two["kv_token_bytes"] == one["kv_token_bytes"] // 2
    experts = report_of("tiny", "-dp", "2", "--enable-expert-parallel")["memory"]
    assert experts["expert_parallel_size"] == 2
    assert experts["rank_weight_bytes_by_role"]["experts"] == one["rank_weight_bytes_by_role"]["experts"] // 2
    assert [(rank["replica"], rank["experts"]) for rank in experts["ranks"]] == [(0, [0, 4]), (1, [4, 8])]
    half = report_of("tiny", "--kv-cache-dtype", "fp8", "--block-size", "32")["memory"]
    assert half["kv_token_bytes"] * 256 == one["kv_token_bytes"] * 132 and half["block_tokens"] == 32  # heads of 128, and a scale


def test_inspect_says_what_fits_a_device():
    words = ["inspect", "tiny", "--device-memory", "80g", "--gpu-memory-utilization", "0.9"]
    roomy = run(*words).stdout
    assert re.search(r"tokens +\d+ a replica", roomy)
    assert run(*words, "--reserve", "10g").stdout != roomy
    assert run("inspect", "tiny", "--device-memory", "1m").stdout != roomy


@pytest.mark.parametrize("words, says", [
    (["-tp", "3"], ["3"]), (["-tp", "0"], ["--tensor-parallel-size"]), (["--device-memory", "-1"], ["--device-memory"]),
    (["--gpu-memory-utilization", "2"], ["--gpu-memory-utilization"]), (["--kv-cache-dtype", "int8"], ["--kv-cache-dtype"]),
])
def test_inspect_refuses(words, says):
    done = run("inspect", "tiny", *words)
    assert done.returncode in (1, 2), done.stdout
    for piece in says:
        assert piece in done.stderr


def test_synth_then_inspect(synth_dir):
    report = report_of(synth_dir)
    assert report["architecture"]["vocab_rows"] == 2048 and report["architecture"]["context_tokens_max"] == 512
    assert report["architecture"]["fp8_block_rows"] == 128 and report["checkpoint"]["unused_bytes"] == 0


def test_synth_then_serve(synth_dir):
    with Server(synth_dir, *PARSERS, "--served-model-name", "synth") as server:
        reply = server.chat(max_tokens=8, ignore_eos=True)
        assert reply.status_code == 200 and reply.json()["usage"]["completion_tokens"] == 8, reply.text
        assert server.stop() == 0


def digest(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def test_the_same_seed_gives_the_same_files(tmp_path):
    for name, words in {"a": ["--threads", "1"], "b": ["--threads", "2"], "c": ["--seed", "8"]}.items():
        assert run("synth", tmp_path / name, "--preset", "small", "--seed", "7", *words).returncode == 0
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_synth_takes_its_shape_from_flags(tmp_path):
    words = {"layers": 1, "hidden": 256, "q-heads": 4, "kv-heads": 2, "head-dim": 64, "rotary-dim": 32, "experts": 4,
             "experts-per-token": 2, "expert-width": 128, "vocab": 512, "context": 128}
    flags = [text for name, value in words.items() for text in ("--" + name, str(value))]
    done = run("synth", tmp_path / "m", "--preset", "small", *flags, "--weights", "bf16", "--file-size", "300k")
    assert done.returncode == 0, done.stderr
    report = report_of(tmp_path / "m")
    shape = report["architecture"]
    assert [shape[key] for key in ("layers", "hidden", "q_heads", "kv_heads", "head_dim", "rotary_dim", "experts",
                                   "experts_per_token", "expert_width", "vocab_rows", "context_tokens_max")] == list(words.values())
    assert report["checkpoint"]["bytes_by_dtype"]["F8_E4M3"] == 0 and report["checkpoint"]["files"] > 1


def test_synth_writes_one_rank_of_a_layout(tmp_path, synth_dir):
    flags = ["--preset", "small", "--vocab", "2048", "--context", "512", "-tp", "2"]
    for rank in ("0", "1"):
        assert run("synth", tmp_path / rank, *flags, "--rank", rank).returncode == 0
    assert digest(tmp_path / "0") != digest(tmp_path / "1")
    assert report_of(tmp_path / "0")["checkpoint"]["bytes"] < report_of(synth_dir)["checkpoint"]["bytes"]


@pytest.mark.parametrize("words, says", [
    (["--preset", "large"], ["--preset", "m2, small"]), (["--weights", "int4"], ["--weights"]),
    (["--layers", "0"], ["--layers"]), (["--preset", "small", "--rank", "1"], ["--rank"]),
    (["--preset", "small", "--tokenizer", "/nonexistent.json"], ["/nonexistent.json"]),
    (["--preset", "small", "--rotary-dim", "999"], ["rotary"]), (["--preset", "small", "--experts-per-token", "500"], ["experts"]),
    (["--preset", "small", "-tp", "64"], ["64"]),
])
def test_synth_refuses(tmp_path, words, says):
    done = run("synth", tmp_path / "m", *words)
    assert done.returncode in (1, 2) and len(done.stderr.strip().splitlines()) <= 2, done.stderr
    for piece in says:
        assert piece in done.stderr


def test_synth_where_nothing_can_be_written():
    refused("synth", "/proc/nothing", "--preset", "small", code=1, says=["/proc/nothing"])


def test_bench_step_prints_settings_and_bandwidth(synth_dir, tmp_path):
    results = tmp_path / "r"
    done = run("bench", "step", synth_dir, "--batch", "1", "2", "--context", "32", "--prefill", "16", "--steps", "2",
               "--threads", "1", "--results", results, "--commit", "abc")
    assert done.returncode == 0, done.stderr
    assert "GB/s" in done.stdout and "decode" in done.stdout and "prefill" in done.stdout
    assert results.exists()


@pytest.mark.parametrize("words, says", [
    (["--batch", "x"], ["--batch", "x"]), (["--steps", "0"], ["--steps"]), (["--backend", "gpu"], ["--backend"]),
    (["--cpu-isa", "sse"], ["sse"]), (["--linear-precision", "int4"], ["int4"]),
    (["--batch", "10000000"], ["KV cache", "GB are free"]), (["--context", "10000000"], ["positions"]),
])
def test_bench_step_refuses(synth_dir, words, says):
    done = run("bench", "step", synth_dir, *words)
    assert done.returncode in (1, 2) and len(done.stderr.strip().splitlines()) <= 2, done.stderr
    for piece in says:
        assert piece in done.stderr


def broken(tmp_path, name, change):
    folder = copy_model(tmp_path / "broken")
    content = (TINY / name).read_bytes()
    replace(folder / name, change(content))
    return folder


def without(*path):
    def change(content):
        value = json.loads(content)
        inner = value
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        return json.dumps(value)
    return change


def having(key, wrong):
    def change(content):
        return json.dumps({**json.loads(content), key: wrong})
    return change


SHARD = "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
BROKEN = {
    "truncated shard": (SHARD, lambda c: c[:-1000], [SHARD]),
    "shard of its header alone": (SHARD, lambda c: c[:100], [SHARD]),
    "empty shard": (SHARD, lambda c: b"", [SHARD]),
    "shard of other bytes": (SHARD, lambda c: b"\xff" * 4096, [SHARD]),
    "header that is no JSON": (SHARD, lambda c: c[:8] + b"#" + c[9:], [SHARD]),
    "index that is no JSON": (INDEX, lambda c: c[:500], [INDEX]),
    "index without a weight map": (INDEX, lambda c: b"{}", [INDEX]),
    "config that is no JSON": ("config.json", lambda c: c[:200], ["config.json"]),
    "empty config": ("config.json", lambda c: b"", ["config.json"]),
    "config of another family": ("config.json", having("model_type", "llama"), ["config.json", "llama"]),
    "hidden_size that is text": ("config.json", having("hidden_size", "big"), ["config.json", "hidden_size"]),
    "hidden_size that does not fit the weights": ("config.json", having("hidden_size", 512), ["512"]),
    "negative layers": ("config.json", having("num_hidden_layers", -1), ["config.json", "num_hidden_layers"]),
    "one layer too many": ("config.json", lambda c: json.dumps({
        **json.loads(c), "num_hidden_layers": 5, "attn_type_list": [1] * 5}), ["layers.4"]),
    "more experts a token than experts": ("config.json", having("num_experts_per_tok", 9), ["num_experts_per_tok"]),
    **{f"config without {key}": ("config.json", without(key), ["config.json", key]) for key in (
        "hidden_size", "num_hidden_layers", "num_attention_heads", "num_local_experts", "vocab_size")},
    "tokenizer that is no JSON": ("tokenizer.json", lambda c: c[:1000], ["tokenizer.json"]),
    "tokenizer of another kind": ("tokenizer.json", lambda c: c.replace(b'"BPE"', b'"Unigram"'), ["tokenizer.json"]),
    "tokenizer without a model": ("tokenizer.json", without("model"), ["tokenizer.json", "model"]),
    "generation_config that is no JSON": ("generation_config.json", lambda c: b"{", ["generation_config.json"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_refused_by_file(tmp_path, name):
    file, change, says = BROKEN[name]
    folder = broken(tmp_path, file, change)
    done = refused("serve", folder, "--port", "0", code=1, says=says, timeout=20)
    assert "listening" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("minimax serve: ")]) == 1


@pytest.mark.parametrize("file", ["tokenizer.json", SHARD])
def test_a_file_that_is_missing_is_named(tmp_path, file):
    folder = copy_model(tmp_path / "m", without=[file])
    refused("serve", folder, "--port", "0", code=1, says=[file])
