"""Makes a tokenizer.json of the family's kind and size, to test and measure with: the published one is not ours to keep.

    python3 tools/train_tokenizer.py OUT_DIR [--tokens 200000] [--megabytes 200] [--seed 1] [FOLDER...]

Needs the package `tokenizers` (pip), 10 GB of memory and some minutes. Byte-level BPE with the family's split, trained on
the text files of the folders (default: /usr/share, /usr/include and /usr/lib: documentation, program text, manuals; of
compiled message catalogues the translations, so that some hundred languages have tokens), in an order drawn from the
seed, up to so many megabytes. As in the published file ids 0 to 255 are the bytes, a merge makes the next id, and the
added tokens stand at the published ids when there are 200 000 tokens. Prints a sum over the texts and one over the
file: the same of the first gives the same of the second.
"""
import argparse
import gettext
import hashlib
import json
import random
import sys
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers, trainers, __version__

REPOSITORY = Path(__file__).resolve().parents[1]
KINDS = {".c", ".cc", ".css", ".el", ".h", ".hpp", ".html", ".java", ".js", ".json", ".md", ".mo", ".pas", ".pl", ".pm",
         ".pod", ".pp", ".py", ".rst", ".sh", ".tcl", ".txt", ".vim", ".xml", ".yaml", ".yml", ""}
FILE_BYTES_MAX = 2**20  # a long table teaches little
# Of the family: name and place among the added ones. The names of the others are not known here: reserved ones stand
# in their places, for `tokenizers` numbers added tokens without gaps, whatever the file says.
ADDED = {"]!p~[": 0, "<fim_pad>": 4, "<reponame>": 5, "]~b]": 19, "[e~[": 20, "]!d~[": 21, "]<]start of image[>[": 29,
         "]<]end of image[>[": 30, "]~!b[": 34, "<think>": 50, "</think>": 51, "<minimax:tool_call>": 52,
         "</minimax:tool_call>": 53}
NOT_SPECIAL = {"<think>", "</think>", "<minimax:tool_call>", "</minimax:tool_call>"}


def text_of(path: Path) -> str:
    """Empty if the file holds no text."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > FILE_BYTES_MAX:
            return ""
        if path.suffix == ".mo":
            with path.open("rb") as file:
                catalogue = gettext.GNUTranslations(file)._catalog
            return "\n".join(value for value in catalogue.values() if isinstance(value, str))
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeError, ValueError, LookupError):
        return ""
    return "" if "\0" in text else text


def corpus(folders: list[Path], bytes_max: int, seed: int) -> list[str]:
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in KINDS)
    random.Random(seed).shuffle(paths)
    texts, total, seen = [], 0, set()
    for path in paths:
        text = text_of(path)
        key = hashlib.sha256(text.encode()).digest()
        if not text or key in seen:
            continue
        seen.add(key)
        texts.append(text)
        total += len(text.encode())
        if total >= bytes_max:
            break
    return texts


def in_family_order(trained: dict, size: int) -> tuple[dict[str, int], list[list[str]]]:
    """The vocabulary with the bytes' own values first and then what each merge makes, and the merges of that many."""
    from_bytes = {}
    following = 256
    for byte in range(256):  # the alphabet of GPT-2: what prints stands for itself, the rest from 256 on
        printable = 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255
        from_bytes[chr(byte if printable else following)] = byte
        following += not printable
    vocabulary, merges = dict(from_bytes), []
    for left, right in trained["merges"]:
        merges.append([left, right])
        vocabulary.setdefault(left + right, len(vocabulary))
        if len(vocabulary) == size:
            break
    return vocabulary, merges


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--tokens", type=int, default=200000)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folders = options.folders or [Path("/usr/share"), Path("/usr/include"), Path("/usr/lib")]

    data = json.loads((REPOSITORY / "models" / "tiny-m2" / "tokenizer.json").read_text(encoding="utf-8"))
    texts = corpus(folders, options.megabytes * 10**6, options.seed)
    total = sum(len(text.encode()) for text in texts)
    text_sum = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    print(f"{len(texts)} texts, {total} bytes, sha256 {text_sum}", flush=True)

    tokenizer = Tokenizer.from_str(json.dumps({**data, "added_tokens": [], "post_processor": None, "model": {
        "type": "BPE", "vocab": {}, "merges": []}}))
    trainer = trainers.BpeTrainer(vocab_size=options.tokens, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    vocabulary, merges = in_family_order(json.loads(tokenizer.to_str())["model"], options.tokens)
    if len(vocabulary) < options.tokens:
        sys.exit(f"expected {options.tokens} tokens, found text for {len(vocabulary)}: give more folders or megabytes")

    data["model"]["vocab"], data["model"]["merges"] = vocabulary, merges
    names = {place: content for content, place in ADDED.items()}
    data["added_tokens"] = [
        {"id": options.tokens + place, "content": (content := names.get(place, f"]<]reserved {place}[>[")), "single_word": False,
         "lstrip": False, "rstrip": False, "normalized": False, "special": content not in NOT_SPECIAL}
        for place in range(max(names) + 1)]
    written = json.dumps(data, ensure_ascii=False)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "tokenizer.json").write_text(written, encoding="utf-8")
    print(f"tokenizers {__version__}: {len(vocabulary)} tokens, {len(merges)} merges, {len(data['added_tokens'])} added, "
          f"sha256 {hashlib.sha256(written.encode()).hexdigest()}")


if __name__ == "__main__":
    main()
