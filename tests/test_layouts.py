"""Parallel layouts of CPU ranks over HTTP: the same greedy text as one rank. LAYOUT_DIALOGUES sets how many (10)."""
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from minimax_server import PARSERS, ROOT, Server

sys.path.insert(0, str(ROOT / "tools/tiny_m2"))
from second.generate import dialogue  # noqa: E402

DIALOGUES = int(os.environ.get("LAYOUT_DIALOGUES", "10"))
LAYOUTS = [("-tp", "2"), ("-tp", "4"), ("-tp", "8"), ("-tp", "2", "-ep"), ("-tp", "4", "-ep")]
REPLICAS = [("-dp", "2"), ("-dp", "2", "-tp", "2")]
SHARED_EXPERTS = [("-dp", "2", "-ep"), ("-dp", "4", "-ep"), ("-dp", "2", "-tp", "2", "-ep")]


def first_replies(server: Server) -> list:
    """What follows the first messages of held-out dialogues, four at a time."""
    client = server.client()

    def reply(seed: int):
        talk = dialogue(seed, True)
        end = next(i for i, message in enumerate(talk["messages"]) if message["role"] == "assistant")
        tools = {"tools": talk["tools"]} if talk.get("tools") else {}
        answer = client.chat.completions.create(model="tiny", messages=talk["messages"][:end], temperature=0, max_tokens=150,
                                                logprobs=True, top_logprobs=2, **tools)
        return answer.choices[0].model_dump(exclude={"message": {"tool_calls": {"__all__": {"id"}}}})

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(reply, range(DIALOGUES)))


@pytest.fixture(scope="module")
def one_rank(server):
    return first_replies(server)


@pytest.mark.parametrize("flags", LAYOUTS, ids=" ".join)
def test_a_layout_gives_the_text_and_the_logprobs_of_one_rank(flags, one_rank):
    server = Server(*PARSERS, *flags)
    try:
        ranks = int(flags[1])
        shares = [line for line in server.lines if re.search(r" rank \d of \d: ", line)]
        assert len(shares) == ranks and all(f"rank {rank} of {ranks}: " in shares[rank] for rank in range(ranks))
        assert re.search(r"experts 0-7," if "-ep" not in flags else r"experts 0-\d, columns 0-511 ", shares[0])
        assert len(set(metric(server, "minimax:rank_weight_bytes"))) == 1
        assert metric(server, "minimax:rank_kv_cache_bytes") == [256 * 2**20 / ranks] * ranks
        assert first_replies(server) == one_rank
    finally:
        assert server.stop() == 0


def metric(server: Server, name: str) -> list[float]:
    """The values of all series of a name, in their order."""
    text = httpx.get(server.url + "/metrics").text
    return [float(value) for value in re.findall(rf"^{re.escape(name)}{{.*}} (\S+)$", text, re.M)]


@pytest.mark.parametrize("flags", REPLICAS + SHARED_EXPERTS, ids=" ".join)
def test_replicas_give_the_text_of_one(flags, one_rank):
    server = Server(*PARSERS, *flags)
    try:
        assert f"{flags[1]} replicas, each with " in "".join(server.lines)
        assert first_replies(server) == one_rank
        prompts = metric(server, "minimax:replica_prompt_tokens_total")
        assert len(prompts) == int(flags[1]) and all(tokens > 0 for tokens in prompts)
        assert sum(metric(server, "minimax:requests_routed_total")) == DIALOGUES
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("flags", SHARED_EXPERTS, ids=" ".join)
def test_each_rank_of_all_replicas_has_experts_of_its_own(flags):
    server = Server(*PARSERS, *flags)
    try:
        replicas, tensor = int(flags[1]), 2 if "-tp" in flags else 1
        ranks = replicas * tensor
        shares = [line for line in server.lines if re.search(r" rank \d of \d: ", line)]
        assert len(shares) == ranks
        each = 8 // ranks
        for rank, share in enumerate(shares):
            assert f"rank {rank} of {ranks}: replica {rank // tensor}, " in share
            assert re.search(rf"experts {rank * each}-{(rank + 1) * each - 1}, columns 0-511 of each", share), share
        assert len(set(metric(server, "minimax:rank_weight_bytes"))) == 1
        assert metric(server, "minimax:rank_kv_cache_bytes") == [256 * 2**20 / ranks] * ranks
    finally:
        assert server.stop() == 0


def test_replicas_that_share_the_experts_answer_one_after_another_and_all_at_once():
    """The idle ones join; none is starved, however unequal the requests are."""
    server = Server(*PARSERS, "-dp", "4", "-ep", "--no-enable-prefix-caching")
    try:
        client = server.client()

        def reply(number: int, tokens: int) -> str:
            return client.completions.create(model="tiny", prompt=f"{number} and {number}", temperature=0, max_tokens=tokens,
                                             extra_body={"ignore_eos": True}).choices[0].text

        lengths = [(number, 3 + number * 41 % 120) for number in range(12)]
        alone = [reply(*each) for each in lengths]
        with ThreadPoolExecutor(12) as pool:
            assert list(pool.map(lambda each: reply(*each), lengths)) == alone
        assert all(tokens > 0 for tokens in metric(server, "minimax:replica_prompt_tokens_total"))
    finally:
        assert server.stop() == 0


def test_a_conversation_stays_where_its_prefix_is():
    server = Server(*PARSERS, "-dp", "3", "--enable-prompt-tokens-details")
    try:
        client = server.client()
        talks = [[{"role": "user", "content": f"Tell me about the number {number}, please. " * 8}] for number in range(4)]
        for turn in range(4):
            for messages in talks:
                answer = client.chat.completions.create(model="tiny", messages=messages, temperature=0, max_tokens=20)
                cached = answer.usage.prompt_tokens_details
                assert turn == 0 or cached.cached_tokens > 60, (turn, cached)
                messages += [{"role": "assistant", "content": answer.choices[0].message.content or "-"}, {"role": "user", "content": "And?"}]
        by_prefix, by_load = metric(server, "minimax:requests_routed_total")
        assert by_prefix >= 12 and by_prefix + by_load == 16
        assert sum(tokens > 0 for tokens in metric(server, "minimax:replica_prompt_tokens_total")) >= 1
    finally:
        assert server.stop() == 0
