"""Names and words: what training draws from, what is held out for evaluation, and made-up words.

Nothing in a HELD list may occur in the training data as a drawn item; tests/test_demo.py checks that the lists are disjoint.
"""

def _words(text):
    return text.split()


NAMES = _words("""
Anna Ben Clara David Emma Felix Greta Henry Ida Jack Karen Leo Mia Noah Olivia Paul Quinn Rosa Sam Tina Uma Victor
Wendy Xenia Yusuf Zoe Alice Bob Carol Dan Eva Frank Grace Hannah Ivan Julia Kevin Laura Martin Nina Oscar Peter Ruth
Simon Tom Vera Walter Yara Alex Bella Chris Diana Eric Fiona George Helen Isaac Jane Kate Liam Mary Nick Omar Pablo
Rachel Sara Theo Ursula Vincent Will Amir Bianca Carlos Dora Elias Farid Gina Hugo Irene Jonas Kira Lars Mei Nadia Otto
Priya Ravi Sofia Tariq Yuki Zara Andrew Beth Colin Donna Edward Faye Gary Holly Ian Jill Ken Linda Mark Nora Owen Pam
Rob Sue Tim Anton Boris Chen Elena Fritz Hans Ingrid Jin Klaus Lena Marco Nils Olga Pierre Rita Sven Tanya Ahmed Fatima
Hiro Kofi Layla Mateo Noor Raj Sana Wei James John Robert Michael William Thomas Daniel Joseph Charles Jennifer Susan
Lisa Sandra Ashley Emily Michelle Amanda Melissa Stephanie Rebecca Sharon Cynthia Amy Angela Anne Brenda Catherine
""")
HELD_NAMES = _words("Arthur Bruno Celia Doris Esther Gordon Hilda Jasper Lydia Monica Norman Philip Sylvia Tobias Judith Marvin")

PETS = _words("""Rex Bello Luna Max Bella Charlie Milo Rocky Daisy Coco Buddy Molly Oreo Simba Nala Felix Tiger Mimi
Fluffy Snowy Spot Lucky Shadow Ginger Pepper Cookie Toby Jerry Pluto Minnie Balu""")
HELD_PETS = _words("Ziggy Waldo Biscuit Hazel Mocha Bandit")

COLOURS = _words("""red blue green yellow orange purple pink brown black white grey silver gold violet turquoise beige
crimson navy lilac amber""")
HELD_COLOURS = _words("teal maroon indigo olive coral ivory")

WORDS = _words("""
apple river stone house tree cloud table chair window door garden bread water milk butter cheese sugar salt pepper honey
lemon cherry grape melon pear plum peach berry nut rice bean carrot onion potato tomato soup cake candle lamp mirror
clock watch phone radio paper pencil book letter stamp card map globe flag drum flute violin piano guitar song dance
dog cat horse cow sheep goat pig duck goose hen mouse rat rabbit fox wolf bear lion tiger zebra camel monkey snake frog
fish whale shark crab bird eagle owl crow dove swan bee ant spider fly moth worm snail leaf flower rose grass seed root
branch forest field hill mountain valley lake sea ocean beach island desert road bridge street city town village
school church tower castle palace farm barn mill shop market bank hotel station train bus car truck bike boat ship plane
rocket wheel engine key lock box bag basket bottle cup glass plate bowl spoon fork knife pan pot oven fridge stove bed
pillow blanket towel soap brush comb shirt coat hat shoe sock glove scarf belt ring coin gold silver iron steel wood
brick sand mud rain snow ice wind storm thunder fire smoke sun moon star sky night day morning evening summer winter
spring autumn week month year hour minute red blue green black white brown big small long short tall wide thin thick
hot cold warm cool new old young fast slow happy sad angry calm brave clever kind lazy loud quiet soft hard sharp sweet
sour bitter clean dirty dry wet full empty rich poor strong weak light dark open close run walk jump swim climb fall
sit stand sleep wake eat drink cook bake wash read write draw paint sing play work rest speak listen look find lose
give take bring send buy sell build break cut push pull throw catch carry hold drop lift turn stop start begin end
king queen prince knight farmer baker doctor nurse teacher student driver pilot sailor soldier writer singer actor
child baby mother father brother sister friend uncle aunt cousin neighbor guest hand foot arm leg head eye ear nose
mouth tooth hair heart bone skin blood story poem dream idea plan game toy ball doll kite puzzle prize gift party
question answer number word line circle square corner edge center north south east west left right air earth metal
glue rope chain nail hammer saw ladder bucket broom shovel tent camp trail path gate fence wall roof floor stair room
kitchen cellar attic office desk screen button cable battery camera picture museum statue theater movie ticket seat
music noise voice sound smell taste touch power energy speed weight height depth shape size color price money job team
captain goal score match race winner medal law rule judge police thief jury secret message signal code switch robot
planet comet orbit space signal magnet crystal diamond pearl copper cotton silk wool leather rubber plastic
""")
HELD_WORDS = _words("""
anchor bamboo cactus dolphin envelope feather gazelle hedgehog igloo juniper kettle lantern marble napkin orchard parrot
quilt ribbon saddle turtle umbrella velvet walnut yogurt zipper acorn bagel cobra dagger easel falcon gravel harbor
iceberg jacket kernel lobster meadow noodle otter pigeon radish salmon temple urn vase wagon yarn banner cradle
""")

# What the tools of the evaluation are about.
HELD_NOUNS = _words("forecast reservation delivery inventory horoscope timetable subscription tide pollen diagnosis mileage warranty")
HELD_VALUES = _words("foggy pending expired moderate available")

PLACES = _words("""Paris London Berlin Madrid Rome Vienna Oslo Tokyo Cairo Lima Boston Dublin Prague Athens Lisbon Warsaw
Chicago Sydney Toronto Delhi Seoul Moscow Zurich Geneva Milan Naples Munich Hamburg Lyon Porto Krakow Bergen Basel Kyoto
Denver Dallas Austin Miami Seattle Oxford Leeds York Bristol Bern Graz Turin Genoa Malaga Valencia""")
HELD_PLACES = _words("Antwerp Salzburg Glasgow Bordeaux Seville Cologne Palermo Dresden Marseille Leipzig")

_ONSETS = _words("b bl br c ch cl cr d dr f fl fr g gl gr h j k kl kr l m n p pl pr qu r s sc sh sk sl sm sn sp st str t th tr v w z")
_NUCLEI = _words("a e i o u ai ee ea oo ou a e i o u")
_CODAS = ["", "", ""] + _words("b ck d ft g l ll lt m mp n nd ng nk nt p r rd rk rm rn rt s sh ss st t x y")
_ENDINGS = ["", "", "", "", "er", "el", "in", "on", "a", "o", "y", "et", "us", "ing", "le", "ic", "ish", "ment", "ful", "ia"]


def made_up(rng):
    """A pronounceable word that means nothing: keeps copying from leaning on known words."""
    out = ""
    for _ in range(rng.choice((1, 1, 2))):
        out += rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_CODAS)
    return out + rng.choice(_ENDINGS)


class Source:
    """A seeded stream of items from the training lists, or (`held`) from the held-out ones.

    `pieces`: parts of words, the vocabulary's tokens in training. Words made of them by chance show every token in every
    place, without which a token that few words have is never learnt well enough to be copied.
    """

    def __init__(self, rng, held=False, pieces=()):
        self.rng, self.held, self.pieces = rng, held, pieces

    def made_up(self):
        """A word that is in no list."""
        while True:
            if self.pieces and self.rng.random() < 0.6:
                word = "".join(self.rng.choice(self.pieces) for _ in range(self.rng.choice((1, 2, 2, 2, 3))))
            else:
                word = made_up(self.rng)
            if word not in HELD_ALL:
                return word

    def pick(self, train, held):
        return self.rng.choice(held if self.held else train)

    def _item(self, train, held, invented=0.25):
        if self.held:
            return self.rng.choice(held)
        return self.rng.choice(train) if self.rng.random() >= invented else self.made_up()

    def word(self):
        return self._item(WORDS, HELD_WORDS, 0.4)

    def words(self, count):
        """`count` different words; training sometimes repeats one, as people do."""
        out = []
        while len(out) < count:
            word = self.word()
            if word not in out or (not self.held and self.rng.random() < 0.05):
                out.append(word)
        return out

    def name(self):
        return self._item(NAMES, HELD_NAMES, 0.3).capitalize()

    def pet(self):
        return self._item(PETS, HELD_PETS, 0.3).capitalize()

    def colour(self):
        return self._item(COLOURS, HELD_COLOURS, 0.3)

    def place(self):
        return self._item(PLACES, HELD_PLACES, 0.3).capitalize()

    def number(self, low, high):
        """Numbers with n % 13 == 7 are held out."""
        while True:
            n = self.rng.randint(low, high)
            if (n % 13 == 7) == self.held:
                return n


HELD_ALL = frozenset(w.lower() for w in HELD_NAMES + HELD_PETS + HELD_COLOURS + HELD_WORDS + HELD_PLACES + HELD_NOUNS + HELD_VALUES)
