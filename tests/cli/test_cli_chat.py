"""minimax chat: against a server and with a model of its own."""

import json
import os
import pty
import signal
import subprocess
import time

import pytest

from cli_tools import MINIMAX, TOOLS, Server, environment, refused, run

TOOL = 'get_weather=cat >/dev/null; echo "{\\"temperature\\": 21, \\"condition\\": \\"sunny\\"}"'
ASK = ["--temperature", "0", "--message", "What is the weather in Paris?"]


def target(server, where):
    return server.url if where == "url" else "tiny"


@pytest.mark.parametrize("where", ["url", "tiny"])
def test_a_conversation_with_a_tool(server, where):
    done = run("chat", target(server, where), "--tools", TOOLS, "--tool-command", TOOL, *ASK)
    assert (done.returncode, done.stderr) == (0, "")
    assert 'get_weather {"city": "Paris"}' in done.stdout
    assert '-> {"temperature": 21, "condition": "sunny"}' in done.stdout
    answer = done.stdout.split("->", 1)[1]
    assert "21" in answer.split("\n", 1)[1] and "Paris" in answer
    assert "\033[" not in done.stdout


@pytest.mark.parametrize("where", ["url", "tiny"])
def test_several_messages_are_said_in_turn(server, where):
    done = run("chat", target(server, where), "--temperature", "0", "--max-tokens", "40", "--message", "Hello", "Thank you!")
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("> Hello") < done.stdout.index("> Thank you!")


def test_messages_come_from_standard_input_too(server):
    done = run("chat", server.url, "--temperature", "0", "--max-tokens", "20", stdin="Hello\n\nHello again\n")
    assert done.returncode == 0 and done.stdout.strip()


def test_the_tool_gets_its_arguments(server, tmp_path):
    seen = tmp_path / "seen"
    run("chat", server.url, "--tools", TOOLS, "--tool-command", f"get_weather=cat >{seen}; echo '{{}}'", *ASK)
    assert json.loads(seen.read_text()) == {"city": "Paris"}


def test_a_tool_that_fails_is_told_to_the_model(server):
    done = run("chat", server.url, "--tools", TOOLS, "--tool-command", "get_weather=exit 7", *ASK)
    assert done.returncode == 0 and "status 7" in done.stdout


def test_a_tool_without_a_command_ends_the_turn(server):
    done = run("chat", server.url, "--tools", TOOLS, *ASK)
    assert done.returncode == 0 and 'get_weather {"city": "Paris"}' in done.stdout and "->" not in done.stdout


def test_seed_temperature_and_max_tokens():
    with Server("tiny", "--generation-config", "vllm") as server:
        words = ["chat", server.url, "--message", "Tell me.", "--max-tokens", "40"]
        hot = [*words, "--temperature", "2", "--seed"]
        assert run(*hot, "1").stdout == run(*hot, "1").stdout
        assert len({run(*hot, seed).stdout for seed in range(4)}) > 1
        assert len({run(*words, "--temperature", "0", "--seed", seed).stdout for seed in range(4)}) == 1
        assert len(run(*hot, "1", "--max-tokens", "2").stdout) < len(run(*hot, "1").stdout)


def test_the_system_message_is_sent():
    with Server("tiny") as server:
        words = ["chat", server.url, "--max-tokens", "1", "--message", "Hi"]
        assert run(*words).returncode == 0
        server.until(lambda: server.metric("vllm:prompt_tokens_total") > 0)
        short = server.metric("vllm:prompt_tokens_total")
        assert run(*words, "--system", "Be brief, and then again " * 10).returncode == 0
        server.until(lambda: server.metric("vllm:prompt_tokens_total") > 2 * short + 20)


def test_the_key_and_the_model_name_are_sent():
    with Server("tiny", "--api-key", "k", "--served-model-name", "a", "b") as server:
        words = ["chat", server.url, "--max-tokens", "2", "--message", "Hi"]
        refused(*words, code=1, says=["401"])
        assert run(*words, "--api-key", "k").returncode == 0
        assert run(*words, env={"VLLM_API_KEY": "k"}).returncode == 0
        assert run(*words, "--api-key", "k", "--model", "b").returncode == 0
        wrong = run(*words, "--api-key", "k", "--model", "c")
        assert wrong.returncode == 1 and "404" in wrong.stdout + wrong.stderr


def terminal_output(server, no_color):
    master, slave = pty.openpty()
    process = subprocess.Popen([MINIMAX, "chat", server.url, "--tools", TOOLS, *ASK], stdin=subprocess.DEVNULL,
                               stdout=slave, stderr=slave, env=environment(NO_COLOR=no_color, TERM="xterm"))
    os.close(slave)
    seen = b""
    try:
        while piece := os.read(master, 65536):
            seen += piece
    except OSError:
        pass
    assert process.wait(20) == 0
    os.close(master)
    return seen


def test_thinking_is_dimmed_on_a_terminal_unless_no_color(server):
    assert b"\033[2m" in terminal_output(server, "")
    assert b"\033[" not in terminal_output(server, "1")


def test_ctrl_c_stops_one_answer(server):
    process = subprocess.Popen([MINIMAX, "chat", server.url, "--temperature", "2"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())
    process.stdin.write("Hello\n")
    process.stdin.flush()
    process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.stdin.write("Hello\n")
    process.stdin.close()
    process.stdout.read()
    assert process.wait(30) in (0, -signal.SIGINT)


@pytest.mark.parametrize("words, code, says", [
    (["http://127.0.0.1:1", "--message", "x"], 1, ["127.0.0.1:1"]),
    (["http://", "--message", "x"], 2, ["http://"]),
    (["http://no-such-host.invalid:80", "--message", "x"], 1, ["no-such-host.invalid"]),
    (["https://127.0.0.1", "--message", "x"], 1, ["https"]),
    (["/nonexistent", "--message", "x"], 1, ["/nonexistent"]),
    (["tiny", "--tools", "/nonexistent.json", "--message", "x"], 1, ["/nonexistent.json"]),
    (["tiny", "--tools", "{dict}", "--message", "x"], 1, ["list of tools"]),
    (["tiny", "--tool-command", "get_weather", "--message", "x"], 2, ["NAME=COMMAND"]),
    (["tiny", "--temperature", "3", "--message", "x"], 2, ["--temperature"]),
    (["tiny", "--max-tokens", "0", "--message", "x"], 2, ["--max-tokens"]),
])
def test_bad_input(tmp_path, words, code, says):
    (tmp_path / "dict.json").write_text("{}")
    refused("chat", *(str(tmp_path / "dict.json") if word == "{dict}" else word for word in words), code=code, says=says)
