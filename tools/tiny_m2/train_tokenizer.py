"""Trains the tokenizer on rendered dialogues: byte-level BPE with the family's split and token names.

    python3 tools/tiny_m2/train_tokenizer.py [--dialogues 12000]

Writes tokenizer.json and tokenizer_config.json. As in the published tokenizer, ids 0 to 255 are the raw bytes, merges
follow, and the added tokens come last; the rows of the head above them are padding.
"""
import argparse
import json

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from generate import dialogue
from template import MODEL, tiny_template

VOCABULARY = 2048
PADDING_ROWS = 19  # some, because the published head has some: a server must mask them
SPECIAL = ["]!p~[", "<fim_pad>", "<reponame>", "]~b]", "[e~[", "]!d~[", "]<]start of image[>[", "]<]end of image[>[", "]~!b["]
VISIBLE = ["<think>", "</think>", "<minimax:tool_call>", "</minimax:tool_call>"]  # added, and kept when decoding
ROLE, END, UNKNOWN, BEGIN, PAD = "]~b]", "[e~[", "]!d~[", "]~!b[", "]!p~["

_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TAIL = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
SPLIT = "|".join([
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_TAIL}", rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_TAIL}",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])


def byte_characters() -> list[str]:
    """Character that stands for each byte (GPT-2's alphabet)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(other)) for byte in range(256)]


def texts(n: int) -> list[str]:
    render = tiny_template()
    out = []
    for seed in range(n):
        text = render(**dialogue(10**9 + seed))  # seeds apart from training's: the same world, other dialogues
        for token in SPECIAL + VISIBLE:
            text = text.replace(token, "\0")
        out += text.split("\0")
    return out


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dialogues", type=int, default=12000)
    options = parser.parse_args()

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    bare = VOCABULARY - PADDING_ROWS - len(SPECIAL) - len(VISIBLE)
    tokenizer.train_from_iterator(texts(options.dialogues), trainers.BpeTrainer(
        vocab_size=bare, initial_alphabet=byte_characters(), show_progress=False))

    data = json.loads(tokenizer.to_str())
    merges = [tuple(pair) for pair in data["model"]["merges"]]
    assert len(merges) == bare - 256, len(merges)
    order = byte_characters() + [left + right for left, right in merges]
    assert len(set(order)) == bare
    data["model"]["vocab"] = {piece: i for i, piece in enumerate(order)}
    data["added_tokens"] = [
        {"id": bare + i, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": token in SPECIAL} for i, token in enumerate(SPECIAL + VISIBLE)]
    (MODEL / "tokenizer.json").write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n")

    config = {
        "added_tokens_decoder": {str(t["id"]): {k: t[k] for k in t if k != "id"} for t in data["added_tokens"]},
        "additional_special_tokens": SPECIAL, "add_prefix_space": False, "bos_token": BEGIN, "eos_token": END,
        "unk_token": UNKNOWN, "pad_token": PAD, "clean_up_tokenization_spaces": False, "model_max_length": 4096,
        "tokenizer_class": "PreTrainedTokenizerFast"}
    (MODEL / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n")
    check(bare)


def check(bare: int) -> None:
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == VOCABULARY - PADDING_ROWS
    assert tokenizer.encode("\n").ids == [10] and tokenizer.token_to_id("]!p~[") == bare
    for text in ["Hello's 1234!!!\n世界", "Zürich 😀 \t x\r\n\r\n  y", "".join(map(chr, range(1, 0x300)))]:
        assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text
    pieces = [p for p, _ in tokenizer.pre_tokenizer.pre_tokenize_str("Hello's 1234!!!\n")]
    assert pieces == ["Hello's", "Ġ", "123", "4", "!!!Ċ"], pieces
    print(f"{tokenizer.get_vocab_size()} tokens: 256 bytes, {bare - 256} merges, {len(SPECIAL + VISIBLE)} added from {bare}")


if __name__ == "__main__":
    main()
