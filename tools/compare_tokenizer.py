"""Our tokenizer yields the ids and texts that Hugging Face's `tokenizers` yields.

    python3 tools/compare_tokenizer.py --program build/cpu/src/tokenizer/tokenizer_ids [--model models/tiny-m2]
        [--n 10000] [--seed 1] [--out results.json]

Needs the package `tokenizers` (pip). Compared are the pieces before merging, for every code point in five surroundings
(the two sides may know different versions of Unicode: code points that this Python does not know are listed, but do
not count), and ids and decoded text of `--n` random texts (scripts, code, emoji, combining marks, long runs, added
tokens; code points of this Python's Unicode), of texts made to break tokenizers, of runs of one string up to 100 000
characters, of all assigned code points in rows of 64, and of the repository's own files; the text of every id, and of
`--n` random lists of ids, which cut characters anywhere; a part of the random texts once more for each of the other forms of
tokenizer.json that are supported, made from the model's own.
"""
import argparse
import copy
import json
import random
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

from tokenizers import Tokenizer, __version__

REPOSITORY = Path(__file__).resolve().parents[1]
RANGES = {  # script or kind: first and last code point
    "latin": (0x20, 0x7E), "latin1": (0xA0, 0xFF), "extended": (0x100, 0x24F), "greek": (0x370, 0x3FF),
    "cyrillic": (0x400, 0x4FF), "hebrew": (0x590, 0x5FF), "arabic": (0x600, 0x6FF), "devanagari": (0x900, 0x97F),
    "bengali": (0x980, 0x9FF), "thai": (0xE00, 0xE7F), "tibetan": (0xF00, 0xFFF), "georgian": (0x10A0, 0x10FF),
    "hangul jamo": (0x1100, 0x11FF), "ethiopic": (0x1200, 0x137F), "khmer": (0x1780, 0x17FF),
    "mongolian": (0x1800, 0x18AF), "combining": (0x300, 0x36F), "punctuation": (0x2000, 0x206F),
    "symbols": (0x2190, 0x2BFF), "kana": (0x3040, 0x30FF), "cjk": (0x4E00, 0x9FFF), "hangul": (0xAC00, 0xD7A3),
    "presentation": (0xFB00, 0xFDFF), "fullwidth": (0xFF00, 0xFFEF), "gothic": (0x10330, 0x1034F),
    "mathematical": (0x1D400, 0x1D7FF), "emoji": (0x1F300, 0x1FAFF), "tags": (0xE0000, 0xE007F)}
WORDS = ["don't", "I'LL", "we'Re", "it'ſ", "x'S", "'tis", "HelloWorld", "snake_case", "http://a.b/c//d?e=f", "3.14159",
         "1234567890", "()", "=>", "    ", "\t\t", "\n\n", "\r\n", " \n ", "\u00a0", "\u2003", "\u180e", "\u200b",
         "\u0085", "\u2028", "e\u0301", "👩‍👩‍👧‍👦", "🇳🇴", "👍🏽", "ﬁ", "ǅ", "ʰ", "ª", "Ⅷ", "²", "٣", "中文", "한국어", "for (;;) {",
         "def f(x):\n    return x", "</a>", "<b>", "\\n", "\0", "\x7f", "…", "—", "/", "//\n", "!!!\n\n", " ?", "İ", "ı", "K"]


NAUGHTY = [  # after the kinds of the Big List of Naughty Strings, and of what tokenizers tripped over
    "", " ", "\n", "\0", "\u0085", "\ufeff", "\ufeffabc", "\ufffd", "\ufffe\uffff", "\U0010ffff", "undefined", "NULL", "None",
    "nan", "-Infinity", "1e309", "0x0", "1/0", "$1.00", "2'250'000", "１２３", "٠١٢٣", "½⅓", "①②③", "Ⅻ", "ǅ ǈ ǋ", "ß ẞ ſ",
    "İstanbul ISTANBUL ıstanbul", "o\u0308o\u0308 \u00f6", "Z̮̞̠͙͔ͅḀ̗̞͈̻̗Ḷ͙͎̯̹̞͓G̻O̭̗̮", "\u0301leading mark", "a\u0301\u0301\u0301'S", "\u200b\u200c\u200d\u2060",
    "\u202etest\u202c", "الكل في المجمو عة", "תיק בראשית", "ด้้้้้็็็็็้้้้้็็็็็", "田中さんにあげて下さい", "社會科學院語學研究所", "울란바토르", "𠜎𠜱𠝹𠱓", "𝕳𝖊𝖑𝖑𝖔", "Ｔｈｅ",
    "👾 🙇 💁 🙅 🙆 🙋 🙎 🙍", "👨‍👩‍👧‍👦", "🏳️‍🌈🏴‍☠️", "🇺🇸🇷🇺🇸 🇦🇫🇦🇲🇸", "👩🏿‍🚀", "1️⃣2️⃣#️⃣", "(╯°□°）╯︵ ┻━┻", "¯\\_(ツ)_/¯",
    "<script>alert(1)</script>", "'; DROP TABLE users; --", "%s%d%n", "{{7*7}}", "${HOME}", "..\\..\\windows", "C:\\a\\b", "//////\n\n//",
    "don't DON'T don’t don'ſ I'm'd've y'all'll've", "s", "'s't're've'm'll'd", "x'RE x'Ve x'lL x'l", "a'\u0053b",
    "\r\n\r\n", "\r\r\n \n\r", " \t \n \t ", "a \n\n b", "  a", "a  ", "\u3000 \u3000a", "\u00a0\u00a0b", "!\n\n/\n a", " !", "  !", "\n!",
    "]~b]", "]~b", "~b]", "]]~b]", "]~!b[]~b]ai", "[e~[e~[", "<think></think>", "<think", "think>", "< think>", "</think>\n\n",
    "<minimax:tool_call>\n<invoke name=\"x\">", "</minimax:tool_call", "<<think>>", "<fim_pad><fim_pad", "]<]start of image[>["]


def runs_of_one_string() -> list[str]:
    ones = ["a", "A", " ", "\n", "1", "!", "/", "'", "é", "\u0301", "中", "😀", "ab", "aA", "Aa", "a\u0301", " a", "a ", "1 ", "\r\n", " \n",
            "'s", "!\n", "]", "<", "<think>", "]~b", "\u200d", "가", "\u0085", "\t", "==", "aab", "abcabd"]
    return [one * (length // len(one)) + tail for one in ones for length in (2, 48, 49, 1000, 100_000) for tail in ("", "x", " ")]


def random_text(r: random.Random, markers: list[str]) -> str:
    pieces = []
    for _ in range(r.choice([1, 2, 3, 5, 10, 30, 100])):
        kind = r.random()
        if kind < 0.3:
            pieces.append(r.choice(WORDS))
        elif kind < 0.5:
            pieces.append(" " * r.randint(0, 3) + "".join(r.choice("etaoinshrdluETAOIN'") for _ in range(r.randint(1, 12))))
        elif kind < 0.8:
            low, high = r.choice(list(RANGES.values()))
            pieces.append("".join(chr(r.randint(low, high)) for _ in range(r.randint(1, 10))))
        elif kind < 0.85:
            pieces.append(r.choice(["a", " ", "\n", "A", "1", "!", "é", "\u0301", "中", "/", "\t", "ab", "A\u0301"]) *
                          r.choice([2, 7, 33, 300]))
        elif kind < 0.9:
            pieces.append(chr(r.choice([r.randint(0, 0xD7FF), r.randint(0xE000, 0x10FFFF)])))
        elif kind < 0.95:
            marker = r.choice(markers)
            pieces.append(marker if r.random() < 0.7 else marker[:r.randint(1, len(marker))])
        else:
            pieces.append(r.choice(" \n\t") * r.randint(1, 5))
    return "".join(c for c in "".join(pieces) if unicodedata.category(c) != "Cn")


class Ours:
    def __init__(self, program: str, model: Path):
        self.command = [program, str(model)]

    def __call__(self, texts: list) -> list:
        lines = "".join(json.dumps(text) + "\n" for text in texts)
        done = subprocess.run(self.command, input=lines, capture_output=True, text=True, encoding="utf-8")
        if done.returncode != 0:
            sys.exit(f"{self.command[0]} failed: {done.stderr}")
        answers = [json.loads(line) for line in done.stdout.split("\n") if line]
        assert len(answers) == len(texts)
        return answers


def compare(theirs: Tokenizer, ours: Ours, texts: list[str]) -> list[str]:
    """The texts that differ, in ids or decoded."""
    different = []
    for text, answer in zip(texts, ours(texts)):
        ids = theirs.encode(text, add_special_tokens=False).ids
        expected = {"ids": ids, "text": theirs.decode(ids, skip_special_tokens=False),
                    "without_special": theirs.decode(ids, skip_special_tokens=True)}
        if answer != expected:
            different.append(text)
    return different


def compare_decoding(theirs: Tokenizer, ours: Ours, lists: list[list[int]]) -> list[list[int]]:
    """The lists of ids whose texts differ."""
    different = []
    for ids, answer in zip(lists, ours([{"decode": ids} for ids in lists])):
        if (answer["text"], answer["without_special"]) != (theirs.decode(ids, skip_special_tokens=False),
                                                           theirs.decode(ids, skip_special_tokens=True)):
            different.append(ids)
    return different


def compare_splits(theirs: Tokenizer, ours: Ours, texts: list[str]) -> list[str]:
    """The texts that are cut in other pieces before merging."""
    different = []
    for text, pieces in zip(texts, ours([{"split": text} for text in texts])):
        if pieces != [text[begin:end] for _, (begin, end) in theirs.pre_tokenizer.pre_tokenize_str(text)]:
            different.append(text)
    return different


def runs(points: list[int]) -> str:
    out: list[list[int]] = []
    for point in sorted(points):
        if out and out[-1][1] == point - 1:
            out[-1][1] = point
        else:
            out.append([point, point])
    return " ".join(f"{low:04X}" if low == high else f"{low:04X}-{high:04X}" for low, high in out)


def compare_code_points(theirs: Tokenizer, ours: Ours) -> bool:
    points = [point for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
    surroundings = ["{0}", "a{0}b", "A{0}'t", " {0}{0} 1{0}", "\n{0}A{0}!{0}\n"]
    different: set[int] = set()
    for surrounding in surroundings:
        texts = {surrounding.format(chr(point)): point for point in points}
        different.update(texts[text] for text in compare_splits(theirs, ours, list(texts)))
    unassigned = {point for point in different if unicodedata.category(chr(point)) == "Cn"}
    print(f"splits: {len(points)} code points in {len(surroundings)} surroundings: {len(different - unassigned)} differ "
          f"of those assigned in Unicode {unicodedata.unidata_version}, {len(unassigned)} of the others")
    for name, found in [("assigned", different - unassigned), ("others", unassigned)]:
        if found:
            print(f"  {name}: {runs(list(found))}")
    return not different - unassigned


LETTERS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def variants(data: dict) -> dict[str, dict]:
    """Other forms of the same file, by name."""
    def split(pattern: str, behavior: str = "Isolated", kind: str = "Regex") -> dict:
        return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": behavior == "Removed"}

    def byte_level(use_regex: bool) -> dict:
        return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}

    out: dict[str, dict] = {}
    for name, steps in {
            "ByteLevel alone": [byte_level(True)], "no split": [byte_level(False)],
            "another pattern": [split(LETTERS), byte_level(False)],
            "removed, inverted": [split(LETTERS, "Removed"), byte_level(False)],
            "three splits": [split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u30ff]+"), split(LETTERS), byte_level(False)],
            "split at a string": [split(". ", kind="String"), byte_level(True)]}.items():
        out[name] = copy.deepcopy(data)
        out[name]["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps} if len(steps) > 1 else steps[0]
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in data["model"]["merges"]]
    out["merges as strings"], out["merges as pairs"] = copy.deepcopy(data), copy.deepcopy(data)
    out["merges as strings"]["model"]["merges"] = [" ".join(pair) for pair in pairs]
    out["merges as pairs"]["model"]["merges"] = pairs
    out["ignore_merges"] = copy.deepcopy(data)
    out["ignore_merges"]["model"].update(ignore_merges=True, merges=pairs[:len(pairs) // 3])
    out["normalized"] = copy.deepcopy(data)
    first = 1 + max(token["id"] for token in data["added_tokens"])
    texts = [("<think>!", True), ("[e~[\n", True), ("HelloW", False), (" HelloWor", True)]
    out["normalized"]["added_tokens"] += [
        {"id": first + i, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": normalized, "special": False} for i, (content, normalized) in enumerate(texts)]
    return out


def compare_variants(program: str, data: dict, texts: list[str]) -> bool:
    good = True
    for name, variant in variants(data).items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tokenizer.json"
            path.write_text(json.dumps(variant), encoding="utf-8")
            theirs, ours = Tokenizer.from_file(str(path)), Ours(program, Path(folder))
            different = {*compare(theirs, ours, texts), *compare_splits(theirs, ours, texts)}
        print(f"{name}: {len(texts)} texts: {len(different)} differ")
        good = good and not different
    return good


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--model", type=Path, default=REPOSITORY / "models" / "tiny-m2")
    parser.add_argument("--n", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="the figures, as JSON")
    options = parser.parse_args()
    theirs = Tokenizer.from_file(str(options.model / "tokenizer.json"))
    ours = Ours(options.program, options.model)
    markers = [token.content for token in theirs.get_added_tokens_decoder().values()] or ["<none>"]

    figures: dict = {"tokenizers": __version__, "tokens": theirs.get_vocab_size(), "texts": {}, "differ": 0}

    print(f"tokenizers {__version__}, {options.model / 'tokenizer.json'}, {theirs.get_vocab_size()} tokens")
    good = compare_code_points(theirs, ours)
    r = random.Random(options.seed)
    texts = [random_text(r, markers) for _ in range(options.n)]
    assigned = [chr(point) for point in range(0x110000) if unicodedata.category(chr(point)) not in ("Cn", "Cs", "Co")]
    for name, set_of_texts in [
            ("random texts", texts), ("naughty texts", NAUGHTY + [f"a{one}b" for one in NAUGHTY] + [f"{one} {one}" for one in NAUGHTY]),
            ("runs", runs_of_one_string()), ("code points", ["".join(assigned[i:i + 64]) for i in range(0, len(assigned), 64)]),
            ("files", files())]:
        different = sorted({*compare(theirs, ours, set_of_texts), *compare_splits(theirs, ours, set_of_texts)})
        print(f"{name}: {len(set_of_texts)}, {sum(map(len, set_of_texts))} characters: {len(different)} differ")
        if different:
            shortest = min(different, key=len)
            ids = theirs.encode(shortest, add_special_tokens=False).ids
            print(f"  shortest: {shortest[:300]!r}\n  theirs: {ids[:60]}\n  ours:   {ours([shortest])[0]['ids'][:60]}")
            good = False
        figures["texts"][name] = {"count": len(set_of_texts), "characters": sum(map(len, set_of_texts))}
        figures["differ"] += len(different)
    every = sorted(theirs.get_vocab(with_added_tokens=True).values())
    for name, lists in [("every id", [[one] for one in every]),
                        ("random lists of ids", [r.choices(every, k=r.randint(1, 40)) for _ in range(options.n)])]:
        wrong = compare_decoding(theirs, ours, lists)
        print(f"decode, {name}: {len(lists)}: {len(wrong)} differ" + (f", such as {min(wrong, key=len)}" if wrong else ""))
        good = good and not wrong
        figures["texts"][f"decode, {name}"] = {"count": len(lists)}
        figures["differ"] += len(wrong)
    data = json.loads((options.model / "tokenizer.json").read_text(encoding="utf-8"))
    variant_texts = texts[:1500] + [text + r.choice(["<think>!", "[e~[\n", " HelloWorld", "HelloWorld"]) for text in texts[:500]]
    good = compare_variants(options.program, data, variant_texts) and good
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(0 if good else 1)


def files() -> list[str]:
    out = []
    for path in sorted(REPOSITORY.glob("[!.b]*/**/*")):
        if path.suffix in {".cc", ".h", ".py", ".md", ".txt", ".json", ".jinja"} and path.stat().st_size < 2**20:
            out.append(path.read_text(encoding="utf-8"))
    return out


if __name__ == "__main__":
    main()
