"""The verbs: help, exit codes, names that are almost right, completion."""

import pytest

from cli_tools import bash, flags_of, refused, run, MINIMAX, TINY

VERBS = ["serve", "chat", "render", "parse", "inspect", "synth", "bench", "completion"]


def test_no_words_print_the_verbs_and_end_with_2():
    done = run()
    assert done.returncode == 2 and done.stdout == ""
    for verb in VERBS:
        assert f"  {verb} " in done.stderr


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_goes_to_standard_output(word):
    done = run(word)
    assert done.returncode == 0 and done.stderr == ""
    for verb in VERBS:
        assert f"  {verb} " in done.stdout


def test_version():
    done = run("--version")
    assert done.returncode == 0 and done.stdout.startswith("minimax 0.")


EXPECTED_FLAGS = {
    "serve": "tensor-parallel-size tool-call-parser reasoning-parser enable-auto-tool-choice data-parallel-size "
             "enable-expert-parallel compilation-config host port api-key served-model-name max-model-len max-num-seqs "
             "max-num-batched-tokens gpu-memory-utilization kv-cache-dtype block-size enable-prefix-caching "
             "enable-chunked-prefill async-scheduling enforce-eager trust-remote-code dtype load-format revision "
             "tokenizer seed generation-config override-generation-config chat-template max-logprobs "
             "enable-log-requests disable-log-stats swap-space enable-prompt-tokens-details config",
    "chat": "message system tools tool-command model api-key max-tokens temperature seed",
    "render": "model revision ids segments",
    "parse": "tools reasoning-parser tool-call-parser ids model no-thinking chunk stream",
    "inspect": "tensor-parallel-size data-parallel-size enable-expert-parallel device-memory gpu-memory-utilization "
               "reserve block-size kv-cache-dtype json revision",
    "synth": "preset layers hidden q-heads kv-heads head-dim rotary-dim experts experts-per-token expert-width vocab "
             "context weights tensor-parallel-size rank seed file-size threads tokenizer",
    "bench": "",
    "bench step": "batch context prefill steps backend threads cpu-isa linear-precision kv-cache-dtype results commit",
    "bench serve": "backend base-url host port endpoint header model tokenizer max-concurrency request-rate burstiness "
                   "num-prompts dataset-name dataset-path random-input-len random-output-len random-range-ratio seed "
                   "ignore-eos goodput percentile-metrics metric-percentiles save-result metadata extra-body",
    "bench sweep": "concurrencies rates report compare num-prompts base-url",
    "bench throughput": "num-prompts input-len output-len dataset-name output-json max-num-seqs kv-cache-memory-bytes",
    "bench latency": "input-len output-len batch-size num-iters num-iters-warmup output-json threads backend",
    "bench frontend": "streams answer-tokens step-us output-json",
    "completion": "",
}


@pytest.mark.parametrize("verb", EXPECTED_FLAGS)
def test_help_of_a_verb_names_each_flag(verb):
    done = run(*verb.split(), "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"minimax {verb}")
    rows = flags_of(verb)
    for name in EXPECTED_FLAGS[verb].split():
        assert "--" + name in rows, name
    for name, text in rows.items():
        assert len(text.split()) > 2, f"{name} says nothing"


@pytest.mark.parametrize("verb", VERBS)
def test_help_lines_fit_100_columns(verb):
    rows = run(verb, "--help").stdout.splitlines()
    assert max(len(row) for row in rows) <= 100


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "bench"])
def test_help_wins_over_words_too_many(verb):
    assert run(verb, "--help", "a", "b", "c").returncode == 0


@pytest.mark.parametrize("wrong, near", [("serv", "serve"), ("inspekt", "inspect"), ("Chat", "chat"), ("pasre", "parse")])
def test_an_unknown_verb_is_refused_with_the_nearest(wrong, near):
    refused(wrong, code=2, says=[f"unknown verb {wrong}", f"did you mean {near}?"])


def test_a_verb_like_no_other_gets_no_guess():
    done = refused("quantize-and-upload", code=2, says=["unknown verb"])
    assert "did you mean" not in done.stderr


@pytest.mark.parametrize("verb, wrong, near", [
    ("serve", "--tensor-paralel-size", "--tensor-parallel-size"), ("serve", "--max-model-length", "--max-model-len"),
    ("serve", "--no-enable-prefix-caching-at-all", "--no-enable-prefix-caching"), ("chat", "--temprature", "--temperature"),
    ("render", "--segmets", "--segments"), ("parse", "--reasoning-parsr", "--reasoning-parser"),
    ("inspect", "--jsno", "--json"), ("bench", "--bacth", "--batch"),
])
def test_an_unknown_flag_is_refused_with_the_nearest(verb, wrong, near):
    words = ["step", wrong, "1"] if verb == "bench" else ["x", wrong, "1"]
    refused(verb, *words, code=2, says=[f"unknown flag {wrong}", f"did you mean {near}?", f"minimax {verb} --help"])


@pytest.mark.parametrize("words, code, says", [
    (["serve"], 2, ["which model?"]), (["chat"], 2, ["URL"]), (["inspect"], 2, ["which model?"]),
    (["synth"], 2, ["folder"]), (["bench"], 2, ["serve", "step"]), (["bench", "step"], 2, ["which model?"]),
    (["completion"], 2, ["bash, zsh or fish"]), (["completion", "tcsh"], 2, ["tcsh"]),
    (["inspect", "/nonexistent"], 1, ["/nonexistent"]), (["render", "/nonexistent.json"], 1, ["/nonexistent.json"]),
    (["parse", "/nonexistent.txt"], 1, ["/nonexistent.txt"]), (["bench", "step", "/nonexistent"], 1, ["/nonexistent"]),
    (["inspect", TINY, "extra"], 2, ["extra", "one word too many"]), (["serve", "tiny", "--port"], 2, ["--port needs"]),
    (["synth", "d", "--layers", "many"], 2, ["--layers", "many"]), (["render", TINY], 1, [str(TINY)]),
    (["bench", "fly"], 2, ["no benchmark \"fly\"", "serve", "step"]),
])
def test_exit_code_and_sentence(words, code, says):
    refused(*words, code=code, says=says)


@pytest.mark.parametrize("words", ["inspect tiny", "serve --help", "completion bash", "inspect tiny --json"])
def test_output_that_cannot_be_written_is_a_failure(words):
    done = bash(f"{MINIMAX} {words} >/dev/full")
    assert done.returncode == 1 and "standard output cannot be written" in done.stderr


def test_completion_for_bash_completes_verbs_and_flags():
    script = f"""
      source <({MINIMAX} completion bash) || exit 9
      COMP_WORDS=(minimax in); COMP_CWORD=1; _minimax; echo "verbs: ${{COMPREPLY[*]}}"
      COMP_WORDS=(minimax serve --tensor-); COMP_CWORD=2; _minimax; echo "flags: ${{COMPREPLY[*]}}"
      COMP_WORDS=(minimax serve --no-enable-pre); COMP_CWORD=2; _minimax; echo "no: ${{COMPREPLY[*]}}"
    """
    done = bash(script)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("verbs: inspect\nflags: --tensor-parallel-size\nno: --no-enable-prefix-caching\n")


@pytest.mark.parametrize("shell, marks", [("zsh", ["bashcompinit", "_minimax"]), ("fish", ["complete -c minimax"])])
def test_completion_for_other_shells_names_every_verb(shell, marks):
    done = run("completion", shell)
    assert done.returncode == 0 and done.stderr == ""
    for mark in marks + VERBS:
        assert mark in done.stdout
