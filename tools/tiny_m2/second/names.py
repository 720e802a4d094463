"""Identifiers and descriptions as clients write them: many spellings, and some that nobody has seen."""
from .words import Words, is_held_out

TAILS = "tool info data api now service v2 item action func op ext new fast".split()
REMARKS = ["Returns JSON.", "Use it whenever the user asks for it.", "Ask the user first if something is missing.", "Only one at a time.",
           "Fast and reliable.", "Part of the assistant's tool set.", "All values are checked."]


def styled(w: Words, words: list[str], hyphens: bool = True) -> str:
    x = w.r.random()
    if x < 0.60:
        return "_".join(words)
    if x < 0.82:
        return words[0] + "".join(word.capitalize() for word in words[1:])
    if x < 0.90 and hyphens:
        return "-".join(words)
    if x < 0.95:
        return "".join(word.capitalize() for word in words)
    return "".join(words) if len(words) < 3 else "_".join(words)


def identifier(w: Words, bases: list[str], taken: set[str] = frozenset(), decorate: float = 0.6) -> str:  # type: ignore[assignment]
    """One of the bases in some spelling, often with a vendor's word; on this side of the split, and not taken."""
    assert decorate > 0
    tries = 0
    while True:
        words = w.r.choice(bases).split("_")
        tries += 1
        x = w.r.random() if tries < 20 else 0.0  # a base whose spellings are all taken, or on the other side
        if x < decorate / 3:
            words = [w.latin()] + words
        elif x < decorate * 2 / 3:
            words = words + [w.latin()]
        elif x < decorate:
            words = words + [w.r.choice(TAILS)]
        name = styled(w, words)
        if name not in taken and is_held_out(name) == w.held_out and not (w.held_out and name in bases):  # what stands in a list is trained on
            return name


def described(w: Words, about: str) -> str:
    """A description around `about`, with remarks that say nothing."""
    r, text = w.r, about
    if r.random() < 0.25:
        text = about[:1].lower() + about[1:] if about.isascii() and r.random() < 0.5 else about.rstrip(".。")
    if r.random() < 0.2 or w.held_out and r.random() < 0.5:
        text += r.choice([f" Powered by {w.latin().capitalize()}.", f" ({w.latin()} {w.latin()})", f" Version {r.randint(1, 9)}.{r.randint(0, 9)}.",
                          " " + r.choice(REMARKS), f" Part of {w.latin().capitalize()} {w.latin().capitalize()}."])
    return text
