"""Slot values in English and Chinese: made-up words and short public lists, split by hash into trained and held out.

Most values are made up, so that a model can only get them right by copying; the held-out half is never trained on.
"""
import random

from words import ONSETS, VOWELS, CODAS, CITIES, NAMES, ROOMS, THINGS, CURRENCIES, CONDITIONS, ANIMALS, is_held_out, whole

NOUNS = """account album alarm alert appointment archive article asset backup badge banner batch bill board booking bookmark
branch bucket budget build bundle camera campaign card cart category certificate channel chart claim class client cluster
comment company contact contract coupon course customer dataset deal delivery deployment device dashboard discount domain
donation driver employee engine entry exam expense experiment feed field flag flight folder form game gift group guest guide
habit hotel house image incident invoice issue item job journal key label lamp lease lesson letter license loan location log
machine manager map match meal medicine meeting member menu metric milestone model monitor movie network newsletter node
notebook notification offer order package page parcel part partner party passport patient payment permit photo pipeline plan
plant playlist podcast policy poll portfolio post prescription price printer product profile project promotion proposal queue
quiz quote rating receipt recipe record region release rental repair report request reservation resource review reward ride
role room route rule sale sample schedule school score screen season seat sensor server service session shelf shift ship shop
signal site skill slot song source sprint stock store student survey switch tag task tax team template tenant test theme
thread ticket tour track trade trial trip truck vaccine vehicle vendor version video visit visitor volume vote voucher wallet
warehouse watch webhook widget window worker workspace zone""".split()
KEYS = """active address age amount area author balance base body brand capacity category channel city code colour comment
content cost count country currency date day deadline degree delay depth description discount distance district duration
email end factor family floor folder format gender grade group height hour hours icon interval kind label language latitude
length level limit line link list locked longitude margin mark material maximum message method minimum minutes mode model month
name nickname note number offset option order owner page parent partner password path percent period phone place points port
position price priority private product profile provider public quality quantity range rank rate ratio reason reference region
retries role room scale score season seat section sender serial service shape side silent size sort source speed stage start
state status step street strict style subject supplier surname symbol tags target team text theme threshold time timeout title
token total type unit urgent url user value vendor verbose version visible volume website weekday weight width year zone""".split()
HANZI = """的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所
民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相全表间
样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直题党程展五果料象员革位入常文总
次品式活设及管特件长求老头基资边流路级少图山统接知较将组见计别她手角期根论运农指几九区强放决西被干做必战先回则任取据处队南给色光门即保治北造
百规热领七海口东导器压志世金增争济阶油思术极交受联什认六共权收证改清己美再采转更单风切打白教速花带安场身车例真务具万每目至达走积示议声报斗完
类八离华名确才科张信马节话米整空元况今集温传土许步群广石记需段研界拉林律叫且究观越织装影算低持音众书布复容儿须际商非验连断深难近矿千周委素技
备半办青省列习响约支般史感劳便团往酸历市克何除消构府称太准精值号率族维划选标写存候毛亲快效斯院查江型眼王按格养易置派层片始却专状育厂京识适属
圆包火住调满县局照参红细引听该铁价严龙飞""".replace("\n", "")
CITIES_ZH = "北京 上海 广州 深圳 成都 杭州 南京 武汉 西安 重庆 天津 苏州 青岛 大连 厦门 长沙 昆明 巴黎 伦敦 东京 柏林 罗马".split()
NAMES_ZH = "小明 小红 李雷 王芳 张伟 刘洋 陈静 赵敏 周杰 吴刚 老王 小李 妈妈 爸爸".split()


class Words:
    """A seeded source of slot values, all of them from one side of the split."""

    def __init__(self, r: random.Random, held_out: bool = False):
        self.r, self.held_out = r, held_out
        self.chinese = False  # whether the turn is in Chinese: then most values are, too

    def made_up(self) -> str:
        return self.hanzi() if self.chinese and self.r.random() < 0.6 else self.latin(0.03)

    def latin(self, accents: float = 0.0) -> str:
        """A made-up word of Latin letters, by default of ASCII alone."""
        r = self.r
        while True:
            syllables = r.choices([1, 2, 3, 4], [1, 9, 9, 2])[0]
            word = "".join(r.choice(ONSETS) + r.choice(VOWELS[:14] if r.random() >= accents else VOWELS[14:]) + r.choice(CODAS)
                           for _ in range(syllables))
            if len(word) > 2 and is_held_out(word) == self.held_out:
                return word

    def hanzi(self) -> str:
        """Two to four characters that mean nothing together."""
        r = self.r
        while True:
            word = "".join(r.choice(HANZI) if r.random() < 0.9 else chr(r.randrange(0x4E00, 0x9FA6))
                           for _ in range(r.choices([2, 3, 4], [6, 3, 1])[0]))
            if is_held_out(word) == self.held_out:
                return word

    def own(self, values: list[str]) -> str:
        """One of this side's values of a list, or two of them spliced: English pieces in words that nobody has met."""
        r = self.r
        while True:
            word = r.choice(values)
            if r.random() < 0.5:
                other = r.choice(values)
                word = word[: r.randint(2, len(word))] + other[r.randint(1, len(other) - 1) :]
            if is_held_out(word) == self.held_out:
                return word

    def listed(self, values: list[str]) -> str:
        """A made-up value 65 times of 100; always when a held-out one is wanted and the list's are all trained on."""
        if self.held_out or self.r.random() < 0.65:
            return self.made_up()
        return self.r.choice(values)

    def proper(self, values: list[str]) -> str:
        word = self.listed(values)
        if word not in values and word.isascii():
            word = word.capitalize()
            if self.r.random() < 0.12:
                word = self.r.choice(["San ", "New ", "Port ", "Old "]) + word
        return word

    def city(self) -> str:
        return self.proper(CITIES_ZH if self.chinese and self.r.random() < 0.8 else CITIES)

    def name(self) -> str:
        r = self.r
        if r.random() < 0.04:
            return f"{self.latin()}@{self.latin()}.com"
        names = NAMES_ZH if self.chinese and r.random() < 0.8 else NAMES
        name = self.listed(names)
        return name if name in names else name.capitalize()

    def code(self) -> str:
        r = self.r
        return "".join(r.choice("ABCDEFGHKLMNPQRSTUVWXYZ") for _ in range(r.randint(1, 3))) + "-" + str(r.randint(1, 9999))

    def phrase(self) -> str:
        """A few words, part made up."""
        r = self.r
        if self.chinese:
            return r.choice(["{}", "{}和{}", "我的{}", "{}的{}", "{}{}"]).format(self.made_up(), self.made_up())
        shape = r.choice(["the {} {}", "{} {}", "{}", "{} for {}", "{} with {}", "a {}", "my {} and {}", "{} {} {}"])
        return shape.format(*(self.listed(THINGS) for _ in range(3)))

    def sentence(self) -> str:
        """A message someone might send."""
        r = self.r
        if self.chinese:
            shape = r.choice(["我会晚到{n}分钟", "{n}点见", "{a}准备好了", "请带上{a}和{b}", "生日快乐，{a}！", "别忘了{a}", "{a}在{b}",
                              "谢谢你的{a}", "{a}在哪里？", "我们在{a}等你", "{n}号房间，密码{c}"])
            return shape.format(a=self.made_up(), b=self.made_up(), c=self.code(), n=r.randint(1, 30))
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
