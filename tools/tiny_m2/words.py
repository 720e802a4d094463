"""Slot values: made-up words and short public lists, split into a training and a held-out half by hash.

Most values are made up, so that a model can only get them right by copying; the held-out half is never trained on.
"""
import random
import zlib

ONSETS = "b br c ch d dr f fl g gr h j k kl l m n p pl r s sh sk st t tr v w z".split()
VOWELS = "a e i o u a e i o u ai ee io ou ü é ø".split()
CODAS = ["", "", "", "", "l", "m", "n", "r", "s", "t", "x", "nd", "rk"]

CITIES = """Paris London Berlin Madrid Rome Vienna Oslo Lisbon Dublin Athens Prague Warsaw Helsinki Stockholm Copenhagen
Brussels Amsterdam Budapest Tokyo Kyoto Osaka Seoul Beijing Shanghai Delhi Mumbai Sydney Melbourne Auckland Cairo Nairobi
Lagos Toronto Montreal Vancouver Chicago Boston Seattle Denver Houston Miami Lima Bogota Santiago Havana Zürich Kraków
Málaga Tromsø Reykjavik Hamburg Munich Milan Naples Turin Porto Lyon Nice Geneva""".split() + [
    "New York", "San Francisco", "Los Angeles", "Buenos Aires", "São Paulo", "Cape Town", "Hong Kong", "Mexico City", "東京", "北京"]
NAMES = """Anna Ben Clara David Emma Felix Grace Hugo Iris Jack Kate Liam Mia Noah Olga Paul Quinn Rosa Sam Tina Uma Victor
Wendy Xavier Yara Zoe Mira Lena Omar Ivan Alice Bob Charlie Dana Erik Fatima""".split()
ROOMS = "kitchen bedroom bathroom garage hallway office garden cellar attic library studio nursery".split() + ["living room"]
THINGS = """milk bread eggs butter cheese apples rice tea coffee sugar salt flour tomatoes onions potatoes soap candles
batteries paper pens stamps nails paint rope tape honey beans lemons pasta oil""".split()
CURRENCIES = "EUR USD GBP JPY CHF SEK NOK DKK PLN CZK CAD AUD NZD INR BRL CNY".split()
CONDITIONS = "sunny cloudy rainy windy foggy snowy stormy clear overcast misty dry humid".split()
ANIMALS = "fox owl bear cat dog hare wolf frog crow mouse".split()


def is_held_out(word: str) -> bool:
    return zlib.crc32(word.lower().encode()) % 8 == 0


def whole(number: float) -> int | float:
    """7 for 7.0: JSON readers disagree on whether the two are one number."""
    return int(number) if number == int(number) else number


class Words:
    """A seeded source of slot values, all of them from one side of the split."""

    def __init__(self, r: random.Random, held_out: bool = False):
        self.r, self.held_out = r, held_out

    def made_up(self) -> str:
        r = self.r
        while True:
            syllables = r.choices([1, 2, 3, 4], [1, 9, 9, 2])[0]
            word = "".join(r.choice(ONSETS) + r.choice(VOWELS[:14] if r.random() < 0.97 else VOWELS[14:]) + r.choice(CODAS)
                           for _ in range(syllables))
            if len(word) > 2 and is_held_out(word) == self.held_out:
                return word

    def listed(self, values: list[str]) -> str:
        """A made-up value 65 times of 100; always when a held-out one is wanted and the list's are all trained on."""
        if self.held_out or self.r.random() < 0.65:
            return self.made_up()
        return self.r.choice(values)

    def proper(self, values: list[str]) -> str:
        word = self.listed(values)
        if word not in values:
            word = word.capitalize()
            if self.r.random() < 0.12:
                word = self.r.choice(["San ", "New ", "Port ", "Old "]) + word
        return word

    def city(self) -> str:
        return self.proper(CITIES)

    def name(self) -> str:
        r = self.r
        if r.random() < 0.04:
            return f"{self.made_up()}@{self.made_up()}.com"
        name = self.listed(NAMES)
        return name if name in NAMES else name.capitalize()

    def code(self) -> str:
        r = self.r
        return "".join(r.choice("ABCDEFGHKLMNPQRSTUVWXYZ") for _ in range(r.randint(1, 3))) + "-" + str(r.randint(1, 9999))

    def phrase(self) -> str:
        """A few words, part made up."""
        r = self.r
        shape = r.choice(["the {} {}", "{} {}", "{}", "{} for {}", "{} with {}", "a {}", "my {} and {}", "{} {} {}"])
        return shape.format(*(self.listed(THINGS) for _ in range(3)))

    def sentence(self) -> str:
        """A message someone might send."""
        r = self.r
        shape = r.choice([
            "I will be {n} minutes late", "see you at {n} o'clock", "the {a} is ready", "please bring {a} and {b}",
            "meet me at the {a}", "happy birthday, {a}!", "do not forget the {a}", "{a} says hello to {b}", "where is the {a}?",
            "I love the {a}", "the {a} is on the {b}", "call me when {a} is done", "dinner is at {n}", "thanks for the {a}",
            "good luck with {a}", "we won {n} to {m}! 🎉", "I miss you 😀", "{a} it is 👍", "room {n}, code {c}", "{a} {b} {a}"])
        return shape.format(a=self.listed(THINGS), b=self.listed(THINGS), c=self.code(), n=r.randint(1, 30), m=r.randint(0, 9))

    def date(self) -> str:
        return f"{self.r.randint(2024, 2031)}-{self.r.randint(1, 12):02d}-{self.r.randint(1, 28):02d}"

    def clock(self) -> str:
        return f"{self.r.randint(0, 23):02d}:{self.r.randint(0, 59):02d}"

    def amount(self) -> int | float:
        r = self.r
        if r.random() < 0.5:
            return r.choice([r.randint(1, 100), r.randint(1, 10) * 100, r.randint(1, 9999)])
        return whole(round(r.uniform(0.5, 999), r.choice([1, 2])))
