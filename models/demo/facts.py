"""The table of facts: relations, their wordings (some held out for evaluation) and their entries.

A wording holds `{}` where the subject goes. `answer` and `title` are templates of subject {s} and object {o}.
"""
from dataclasses import dataclass


@dataclass
class Relation:
    name: str
    wordings: list
    held: list
    answer: str
    title: str
    table: dict


def _table(text):
    """'subject=object; subject=object' -> dict."""
    pairs = (entry.split("=") for entry in text.replace("\n", " ").split(";") if entry.strip())
    return {s.strip(): o.strip() for s, o in pairs}


CAPITALS = _table("""France=Paris; Germany=Berlin; Italy=Rome; Spain=Madrid; Portugal=Lisbon; Austria=Vienna; Switzerland=Bern;
Belgium=Brussels; the Netherlands=Amsterdam; Denmark=Copenhagen; Sweden=Stockholm; Norway=Oslo; Finland=Helsinki;
Iceland=Reykjavik; Ireland=Dublin; England=London; Scotland=Edinburgh; Wales=Cardiff; Poland=Warsaw; Hungary=Budapest;
Greece=Athens; Turkey=Ankara; Russia=Moscow; Ukraine=Kyiv; Romania=Bucharest; Bulgaria=Sofia; Serbia=Belgrade;
Croatia=Zagreb; Slovenia=Ljubljana; Slovakia=Bratislava; the Czech Republic=Prague; Estonia=Tallinn; Latvia=Riga;
Lithuania=Vilnius; Albania=Tirana; Cyprus=Nicosia; Malta=Valletta; Egypt=Cairo; Morocco=Rabat; Algeria=Algiers; Tunisia=Tunis;
Libya=Tripoli; Kenya=Nairobi; Ethiopia=Addis Ababa; Ghana=Accra; Nigeria=Abuja; Senegal=Dakar; Uganda=Kampala; Cuba=Havana;
Canada=Ottawa; the United States=Washington; Mexico=Mexico City; Brazil=Brasilia; Argentina=Buenos Aires; Chile=Santiago;
Peru=Lima; Colombia=Bogota; Venezuela=Caracas; Ecuador=Quito; Uruguay=Montevideo; China=Beijing; Japan=Tokyo; India=New Delhi;
South Korea=Seoul; Vietnam=Hanoi; Thailand=Bangkok; Indonesia=Jakarta; the Philippines=Manila; Nepal=Kathmandu; Iran=Tehran;
Iraq=Baghdad; Israel=Jerusalem; Jordan=Amman; Lebanon=Beirut; Syria=Damascus; Saudi Arabia=Riyadh; Australia=Canberra;
New Zealand=Wellington; Pakistan=Islamabad; Mongolia=Ulaanbaatar""")

CONTINENTS = _table("""France=Europe; Germany=Europe; Italy=Europe; Spain=Europe; Portugal=Europe; Austria=Europe; Poland=Europe;
Greece=Europe; Norway=Europe; Sweden=Europe; Egypt=Africa; Morocco=Africa; Kenya=Africa; Nigeria=Africa; Ghana=Africa;
Ethiopia=Africa; Senegal=Africa; Uganda=Africa; Canada=North America; the United States=North America; Mexico=North America;
Cuba=North America; Brazil=South America; Argentina=South America; Chile=South America; Peru=South America;
Colombia=South America; China=Asia; Japan=Asia; India=Asia; Vietnam=Asia; Thailand=Asia; Iran=Asia; Iraq=Asia; Nepal=Asia;
Mongolia=Asia""")

LANGUAGES = _table("""France=French; Germany=German; Italy=Italian; Spain=Spanish; Portugal=Portuguese; Austria=German; Brazil=Portuguese;
Mexico=Spanish; Argentina=Spanish; Peru=Spanish; Poland=Polish; Greece=Greek; Turkey=Turkish; Russia=Russian; China=Chinese;
Japan=Japanese; Hungary=Hungarian; Sweden=Swedish; Norway=Norwegian; Denmark=Danish; England=English; Egypt=Arabic; Iran=Persian;
Finland=Finnish; Vietnam=Vietnamese""")

CURRENCIES = _table("""France=euro; Germany=euro; Italy=euro; Spain=euro; England=pound; the United States=dollar; Japan=yen;
China=yuan; India=rupee; Russia=ruble; Switzerland=franc; Sweden=krona; Poland=zloty; Mexico=peso; Brazil=real; Turkey=lira;
Canada=dollar; Australia=dollar; Denmark=krone; Thailand=baht; South Korea=won""")

ELEMENTS = _table("""hydrogen=H; helium=He; carbon=C; nitrogen=N; oxygen=O; sodium=Na; magnesium=Mg; silicon=Si; sulfur=S;
chlorine=Cl; potassium=K; calcium=Ca; iron=Fe; copper=Cu; zinc=Zn; silver=Ag; tin=Sn; gold=Au; mercury=Hg; lead=Pb; neon=Ne;
uranium=U; iodine=I; lithium=Li; nickel=Ni; phosphorus=P; platinum=Pt; argon=Ar""")

OPPOSITES = _table("""hot=cold; big=small; fast=slow; happy=sad; up=down; left=right; old=young; new=old; open=closed; light=dark;
day=night; good=bad; long=short; tall=short; wide=narrow; thick=thin; full=empty; rich=poor; strong=weak; hard=soft; high=low;
early=late; wet=dry; clean=dirty; loud=quiet; love=hate; true=false; win=lose; buy=sell; push=pull; start=stop; begin=end;
in=out; above=below; before=after; first=last; front=back; heavy=light; near=far; sweet=sour; rough=smooth; sharp=blunt;
brave=cowardly; cheap=expensive; easy=difficult; always=never; all=none; black=white; north=south; east=west; deep=shallow;
same=different; alive=dead; friend=enemy; question=answer; day=night; summer=winter; hello=goodbye; yes=no""")

YOUNG = _table("""dog=puppy; cat=kitten; cow=calf; horse=foal; sheep=lamb; pig=piglet; goat=kid; hen=chick; duck=duckling; bear=cub;
lion=cub; deer=fawn; frog=tadpole; goose=gosling; swan=cygnet; kangaroo=joey; wolf=pup""")

SOUNDS = _table("""dog=woof; cat=meow; cow=moo; sheep=baa; pig=oink; duck=quack; horse=neigh; lion=roar; bee=buzz; snake=hiss; owl=hoot;
frog=ribbit; rooster=cock-a-doodle-doo; mouse=squeak; crow=caw""")

COLOURS_OF = _table("""the sky=blue; grass=green; snow=white; blood=red; a banana=yellow; a lemon=yellow; coal=black; milk=white;
a ripe tomato=red; a strawberry=red; an orange=orange; chocolate=brown; the sun=yellow; an emerald=green; a ruby=red;
a carrot=orange; a leaf=green; an elephant=grey; a flamingo=pink; a raven=black""")

COUNTS = _table("""days in a week=7; months in a year=12; hours in a day=24; minutes in an hour=60; seconds in a minute=60;
days in a year=365; weeks in a year=52; legs on a spider=8; legs on a dog=4; legs on an insect=6; legs on a bird=2;
sides in a triangle=3; sides in a square=4; sides in a hexagon=6; sides in a pentagon=5; planets in the solar system=8;
letters in the alphabet=26; continents on Earth=7; oceans on Earth=5; strings on a violin=4; strings on a guitar=6;
players in a football team=11; years in a century=100; years in a decade=10; grams in a kilogram=1000; meters in a kilometer=1000;
centimeters in a meter=100; cards in a deck=52; keys on a piano=88; arms on an octopus=8; eggs in a dozen=12; fingers on a hand=5;
squares on a chessboard=64; degrees in a circle=360; cents in a dollar=100; bits in a byte=8; days in April=30;
days in January=31; bones in the human body=206; states in the United States=50""")

AUTHORS = _table("""Hamlet=William Shakespeare; Romeo and Juliet=William Shakespeare; Macbeth=William Shakespeare; Faust=Goethe;
Don Quixote=Cervantes; War and Peace=Leo Tolstoy; Anna Karenina=Leo Tolstoy; Crime and Punishment=Dostoevsky;
Oliver Twist=Charles Dickens; A Christmas Carol=Charles Dickens; Pride and Prejudice=Jane Austen; Emma=Jane Austen;
Moby-Dick=Herman Melville; Frankenstein=Mary Shelley; Dracula=Bram Stoker; The Hobbit=Tolkien; Animal Farm=George Orwell;
Robinson Crusoe=Daniel Defoe; Treasure Island=Robert Louis Stevenson; Les Miserables=Victor Hugo; The Odyssey=Homer;
The Iliad=Homer; The Divine Comedy=Dante; The Metamorphosis=Franz Kafka; The Jungle Book=Rudyard Kipling""")

CREATORS = _table("""the telephone=Alexander Graham Bell; the light bulb=Thomas Edison; the printing press=Johannes Gutenberg;
dynamite=Alfred Nobel; the steam engine=James Watt; the radio=Guglielmo Marconi; the World Wide Web=Tim Berners-Lee;
Linux=Linus Torvalds; Python=Guido van Rossum; the C language=Dennis Ritchie; the airplane=the Wright brothers;
C++=Bjarne Stroustrup; the diesel engine=Rudolf Diesel; Braille=Louis Braille""")

DISCOVERERS = _table("""penicillin=Alexander Fleming; gravity=Isaac Newton; relativity=Albert Einstein; radium=Marie Curie;
America=Christopher Columbus; evolution=Charles Darwin; X-rays=Wilhelm Roentgen; the moons of Jupiter=Galileo Galilei""")

ARTISTS = _table("""the Mona Lisa=Leonardo da Vinci; The Starry Night=Vincent van Gogh; Guernica=Pablo Picasso; The Scream=Edvard Munch;
The Last Supper=Leonardo da Vinci; The Night Watch=Rembrandt; Sunflowers=Vincent van Gogh""")

NEXT = _table("""Monday=Tuesday; Tuesday=Wednesday; Wednesday=Thursday; Thursday=Friday; Friday=Saturday; Saturday=Sunday; Sunday=Monday;
January=February; February=March; March=April; April=May; May=June; June=July; July=August; August=September; September=October;
October=November; November=December; December=January""")

SUPERLATIVES = _table("""largest planet=Jupiter; smallest planet=Mercury; highest mountain=Mount Everest; largest ocean=the Pacific Ocean;
longest river=the Nile; largest animal=the blue whale; fastest land animal=the cheetah; tallest animal=the giraffe;
largest country=Russia; smallest country=Vatican City; largest continent=Asia; smallest continent=Australia; hottest planet=Venus;
largest desert=Antarctica; largest bird=the ostrich; hardest natural material=diamond; lightest element=hydrogen;
largest land animal=the elephant; deepest lake=Lake Baikal; closest planet to the sun=Mercury; largest island=Greenland""")

LANDMARKS = _table("""the Eiffel Tower=Paris; the Colosseum=Rome; Big Ben=London; the Statue of Liberty=New York; the Acropolis=Athens;
the Kremlin=Moscow; the Brandenburg Gate=Berlin; the Louvre=Paris; the Sydney Opera House=Sydney; the Golden Gate Bridge=San Francisco;
the Alhambra=Granada; the Taj Mahal=Agra; the Vatican=Rome; the White House=Washington; Red Square=Moscow""")

MADE_OF = _table("""bread=flour; cheese=milk; butter=milk; wine=grapes; paper=wood; glass=sand; a book=paper; a window=glass;
a candle=wax; a sweater=wool; honey=nectar; chocolate=cocoa; ice=water; beer=barley; omelettes=eggs; ketchup=tomatoes""")

RELATIONS = [
    Relation("capital", ["What is the capital of {}?", "What's the capital of {}?", "Tell me the capital of {}.",
                         "Which city is the capital of {}?", "Name the capital of {}.", "capital of {}", "{} capital?",
                         "Do you know the capital of {}?", "What is the capital city of {}?", "What city is {}'s capital?",
                         "The capital of {} is which city?", "I need the capital of {}."],
             ["Could you name the capital city of {}?", "Which city serves as the capital of {}?", "{}: what is its capital?"],
             "The capital of {s} is {o}.", "Capital of {s}", CAPITALS),
    Relation("continent", ["On which continent is {}?", "Which continent is {} on?", "What continent is {} in?",
                           "Tell me the continent of {}.", "In which continent is {}?", "{} is on which continent?",
                           "What is the continent of {}?", "Which continent does {} belong to?"],
             ["On what continent can I find {}?", "Name the continent where {} lies."],
             "{s} is in {o}.", "Continent of {s}", CONTINENTS),
    Relation("language", ["What language do people speak in {}?", "Which language is spoken in {}?", "What is the language of {}?",
                          "What do they speak in {}?", "Tell me the language spoken in {}.", "Which language do they speak in {}?",
                          "language of {}", "What language is used in {}?"],
             ["In {}, which language do people speak?", "What is the main language in {}?"],
             "People in {s} speak {o}.", "Language of {s}", LANGUAGES),
    Relation("currency", ["What is the currency of {}?", "Which currency is used in {}?", "What money do they use in {}?",
                          "How do you pay in {}?", "Tell me the currency of {}.", "currency of {}", "What is the money of {} called?",
                          "What currency does {} have?"],
             ["With which currency do people pay in {}?", "Name the currency used in {}."],
             "The currency of {s} is the {o}.", "Currency of {s}", CURRENCIES),
    Relation("symbol", ["What is the chemical symbol for {}?", "What is the symbol of {}?", "Which symbol stands for {}?",
                        "What's the chemical symbol of {}?", "chemical symbol for {}", "Tell me the symbol for {}.",
                        "How is {} written in chemistry?", "What is the element symbol of {}?"],
             ["Which chemical symbol does {} have?", "Name the chemical symbol of {}."],
             "The chemical symbol of {s} is {o}.", "Symbol of {s}", ELEMENTS),
    Relation("opposite", ["What is the opposite of {}?", "What's the opposite of {}?", "Tell me the opposite of {}.", "opposite of {}",
                          "Which word is the opposite of {}?", "Give me the opposite of {}.", "What word means the opposite of {}?",
                          "Name the opposite of {}."],
             ["Do you know the opposite of {}?", "Which word is opposite to {}?"],
             "The opposite of {s} is {o}.", "Opposite of {s}", OPPOSITES),
    Relation("young", ["What is a young {} called?", "What do you call a baby {}?", "What is a baby {} called?",
                       "How is a young {} called?", "What's the name for a baby {}?", "Which word means a young {}?",
                       "Tell me what a young {} is called."],
             ["What do people call a young {}?", "What is the word for a baby {}?"],
             "A young {s} is called a {o}.", "A young {s}", YOUNG),
    Relation("sound", ["What sound does a {} make?", "What does a {} say?", "What noise does a {} make?", "Which sound does a {} make?",
                       "How does a {} sound?", "Tell me the sound of a {}.", "What is the sound of a {}?"],
             ["What kind of sound does a {} make?", "Which noise comes from a {}?"],
             "A {s} says {o}.", "Sound of a {s}", SOUNDS),
    Relation("colour", ["What colour is {}?", "What color is {}?", "Which colour is {}?", "What is the colour of {}?",
                        "Tell me the color of {}.", "Which color does {} have?", "What is the color of {}?", "What colour has {}?"],
             ["Which colour does {} have?", "Name the colour of {}."],
             "The colour of {s} is {o}.", "Colour of {s}", COLOURS_OF),
    Relation("count", ["How many {} are there?", "What is the number of {}?", "How many {}?", "Tell me how many {} there are.",
                       "Do you know how many {} there are?", "Say how many {} there are.", "What's the number of {}?",
                       "The number of {} is what?"],
             ["Can you say how many {} there are?", "I want to know how many {} there are."],
             "The number of {s} is {o}.", "Number of {s}", COUNTS),
    Relation("author", ["Who wrote {}?", "Who is the author of {}?", "Which author wrote {}?", "By whom is {}?", "author of {}",
                        "Who was the author of {}?", "Tell me who wrote {}.", "Do you know who wrote {}?"],
             ["Name the author of {}.", "Can you say who wrote {}?"],
             "{s} was written by {o}.", "Author of {s}", AUTHORS),
    Relation("inventor", ["Who invented {}?", "Who is the inventor of {}?", "Who created {}?", "Tell me who invented {}.",
                          "inventor of {}", "Who made {} first?", "Who was the inventor of {}?", "By whom was {} invented?"],
             ["Do you know who invented {}?", "Name the inventor of {}."],
             "{s} was invented by {o}.", "Inventor of {s}", CREATORS),
    Relation("discoverer", ["Who discovered {}?", "Who is the discoverer of {}?", "Tell me who discovered {}.", "Who found {} first?",
                            "discoverer of {}", "By whom was {} discovered?", "Who was the discoverer of {}?"],
             ["Do you know who discovered {}?", "Name the discoverer of {}."],
             "{s} was discovered by {o}.", "Discoverer of {s}", DISCOVERERS),
    Relation("painter", ["Who painted {}?", "Who is the painter of {}?", "Which artist painted {}?", "Tell me who painted {}.",
                         "painter of {}", "By whom was {} painted?", "Who was the painter of {}?"],
             ["Do you know who painted {}?", "Name the painter of {}."],
             "{s} was painted by {o}.", "Painter of {s}", ARTISTS),
    Relation("next", ["What comes after {}?", "What is after {}?", "Which one comes after {}?", "What follows {}?",
                      "What comes next after {}?", "Tell me what comes after {}.", "What comes directly after {}?"],
             ["Do you know what comes after {}?", "Which one follows after {}?"],
             "After {s} comes {o}.", "What follows {s}", NEXT),
    Relation("superlative", ["What is the {}?", "What's the {}?", "Which is the {}?", "Tell me the {}.", "Name the {}.",
                             "Do you know the {}?", "the {}", "What is the {} in the world?"],
             ["Could you name the {}?", "I want to know the {}."],
             "The {s} is {o}.", "The {s}", SUPERLATIVES),
    Relation("landmark", ["Where is {}?", "In which city is {}?", "Which city has {}?", "What city is {} in?", "Where can I see {}?",
                          "Tell me where {} is.", "Where can I find {}?", "In what city is {}?"],
             ["In which city can I visit {}?", "Do you know where {} is?"],
             "{s} is in {o}.", "Where {s} is", LANDMARKS),
    Relation("made", ["What is {} made of?", "What is {} made from?", "From what is {} made?", "What do you need to make {}?",
                      "Tell me what {} is made of.", "Of what is {} made?", "What are the materials of {}?"],
             ["What do people make {} from?", "Do you know what {} is made of?"],
             "{s}: made from {o}.", "What {s} is made of", MADE_OF),
]


def first_upper(text):
    return text[:1].upper() + text[1:]
