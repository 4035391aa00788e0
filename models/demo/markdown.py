"""Markdown on request: lists, tables, code and formulas."""
from exchange import Exchange, vary

BULLETS = ["Make a list of {}", "Make a bullet list: {}", "Write {} as a list", "Write a Markdown list of {}", "Turn this into a list: {}",
           "List: {}", "Give me a bullet list with {}", "Show {} as a bullet list", "Make a list: {}", "Put {} in a list", "I need a list of {}"]
BULLETS_HELD = ["Please make a bullet list of {}", "Could you write a list with {}"]
NUMBERED = ["Make a numbered list of {}", "Number these: {}", "Write {} as a numbered list", "Make a numbered list: {}", "Give me a numbered list with {}",
            "Show {} as a numbered list", "Turn this into a numbered list: {}"]
NUMBERED_HELD = ["Please make a numbered list of {}", "Could you write a numbered list with {}"]
TABLE = ["Make a table: {}", "Make a table of {}", "Write this as a table: {}", "Turn this into a table: {}", "Show a table: {}", "Put this in a table: {}",
         "Write a Markdown table: {}", "I need a table: {}"]
TABLE_HELD = ["Please make a table of this: {}", "Could you write this as a table: {}"]

COLLECTIONS = {
    "colours": "red green blue", "fruits": "apple banana cherry", "animals": "dog cat horse", "planets": "Mercury Venus Earth Mars",
    "seasons": "spring summer autumn winter", "vegetables": "carrot potato tomato", "countries": "France Germany Italy", "cities": "Paris London Rome",
    "drinks": "water milk tea", "birds": "owl eagle swan", "metals": "iron copper gold", "tools": "hammer saw drill", "languages": "English French German",
    "weekdays": "Monday Tuesday Wednesday Thursday Friday", "instruments": "piano violin guitar", "sports": "football tennis swimming",
    "trees": "oak pine birch", "flowers": "rose tulip lily"}
COLLECTION = ["Make a list of {}", "Give me a list of {}", "List some {}", "Write a list of {}", "Show me a list of {}", "List {}", "a list of {} please",
              "Name some {}", "Write a Markdown list of {}", "Can you list some {}?", "Name a few {}", "Show me a few {}", "Give me a few {} as a list", "Write down some {}",
              "I need a few {}", "What are some {}? Make a list."]
COLLECTION_HELD = ["Could you make a list of some {}?", "Please list a few {}"]

CODE = {
    "print": (["Write code that prints {w}", "Write a program that prints {w}", "Print {w} in Python", "Show me Python code that prints {w}",
               "How do I print {w} in Python?", "python program to print {w}", "code to print {w}"],
              ["Could you write Python code that prints {w}?", "Please write a program to print {w}"], 'print("{w}")'),
    "loop": (["Write a loop from 1 to {k}", "Write a loop to {k} in Python", "Show me a for loop up to {k}", "Python loop from 1 to {k}",
              "Write code that counts to {k}", "How do I count to {k} in Python?", "Show me a loop that counts to {k}"],
             ["Could you write a loop that counts to {k}?", "Please write Python code that counts from 1 to {k}"],
             "for i in range(1, {k} + 1):\n    print(i)"),
    "add": (["Write a function that adds two numbers", "Write Python code to add two numbers", "Show me a function that adds two numbers",
             "function to add two numbers", "Code for adding two numbers"], ["Could you write a function for adding two numbers?"],
            "def add(a, b):\n    return a + b"),
    "hello": (["Write hello world", "Show me some code", "Write a hello world program", "Write some Python code", "hello world in Python",
               "Give me an example of code", "Write code"], ["Could you show me some Python code?", "Please write a hello world program in Python"],
              'print("Hello, world!")'),
    "square": (["Write a function that squares a number", "Python function for the square of a number", "Show me code that squares a number", "Write a function for the square of a number",
                "function that returns the square of a number", "Give me a function to compute the square of a number",
                "Write Python code that finds the square of a number", "Show me a function that gives a number's square"],
               ["Please write a function that gives the square of a number"], "def square(x):\n    return x * x"),
    "list": (["Write a Python list with {w} and {v}", "Make a Python list of {w} and {v}", "Show me a Python list with {w} and {v}", "Write a Python list that contains {w} and {v}",
              "Make a Python list that has {w} and {v}", "Python list containing {w} and {v}", "I want a Python list where {w} and {v} are in it",
              "Create a list in Python from {w} and {v}", "Show me a Python list that keeps {w} and {v}"],
             ["Please write a Python list that holds {w} and {v}"], 'words = ["{w}", "{v}"]'),
}
FORMULAS = {
    "the Pythagorean theorem": "a^2 + b^2 = c^2", "the area of a circle": "A = \\pi r^2", "mass and energy": "E = m c^2",
    "the quadratic equation": "x = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a}", "the circumference of a circle": "C = 2 \\pi r",
    "the area of a triangle": "A = \\frac{b h}{2}", "the area of a rectangle": "A = a b", "speed": "v = \\frac{s}{t}", "force": "F = m a",
    "the volume of a sphere": "V = \\frac{4}{3} \\pi r^3", "the volume of a cube": "V = a^3", "Ohm's law": "U = R I",
    "the mean of two numbers": "m = \\frac{a + b}{2}", "density": "\\rho = \\frac{m}{V}"}
FORMULA = ["What is the formula for {}?", "Write the formula for {}", "Show me the formula for {}", "formula for {}", "Give me the formula for {}",
           "What's the formula of {}?", "Write {} as a formula", "Show {} as a formula", "I need the formula for {}"]
FORMULA_HELD = ["Could you write the formula for {}?", "Which formula describes {}?"]
SOME_FORMULA = ["Show me a formula", "Write a formula", "Write some math", "Give me a formula", "Show me some mathematics"]
HEADERS = [("Name", "Age"), ("Item", "Price"), ("City", "Number"), ("Word", "Count"), ("Name", "Points"), ("Fruit", "Amount")]


def _given(source):
    words = [source.word() for _ in range(source.rng.randint(2, 5))]
    return words, ", ".join(words[:-1]) + source.rng.choice([", ", " and "]) + words[-1]


def _ask(source, train, held, filling):
    wording = vary(source, source.pick(train, held).replace("{}", "0"))
    return wording.replace("0", filling)


def _exchange(user, answer, thought, title, check):
    return Exchange(user, answer, thought, "markdown", title, f"asked for {title[0].lower()}{title[1:]}",
                    ["Make a list of colours", "Show me some code", "Show me a formula"], check=check)


def markdown(source):
    return source.rng.choice((bullets, numbered, table, collection, code, formula))(source)


def bullets(source):
    words, given = _given(source)
    return _exchange(_ask(source, BULLETS, BULLETS_HELD, given), "\n".join(f"- {w}" for w in words), "A Markdown list, one item a line.",
                     "A bullet list", {"kind": "list", "items": words})


def numbered(source):
    words, given = _given(source)
    return _exchange(_ask(source, NUMBERED, NUMBERED_HELD, given), "\n".join(f"{i}. {w}" for i, w in enumerate(words, 1)),
                     "A numbered Markdown list, one item a line.", "A numbered list", {"kind": "list", "items": words})


def table(source):
    rng = source.rng
    head = rng.choice(HEADERS)
    maker = source.name if head[0] == "Name" else source.place if head[0] == "City" else source.word
    rows = [(maker(), str(rng.randint(1, 99))) for _ in range(rng.randint(2, 4))]
    given = f"{head[0]} and {head[1]}: " if rng.random() < 0.6 else f"{head[0]}, {head[1]}: "
    given += ", ".join(f"{a} {b}" for a, b in rows)
    answer = f"| {head[0]} | {head[1]} |\n| --- | --- |\n" + "\n".join(f"| {a} | {b} |" for a, b in rows)
    return _exchange(_ask(source, TABLE, TABLE_HELD, given), answer, "A Markdown table: header, line, one row each.", "A table",
                     {"kind": "table", "rows": [list(r) for r in rows]})


def collection(source):
    name = source.rng.choice(list(COLLECTIONS))
    items = COLLECTIONS[name].split()
    return _exchange(_ask(source, COLLECTION, COLLECTION_HELD, name), "\n".join(f"- {i}" for i in items), f"A list of {name}.",
                     f"A list of {name}", {"kind": "list", "items": items})


def code(source):
    wordings, held, body = CODE[source.rng.choice(list(CODE))]
    w, v, k = source.word(), source.word(), str(source.rng.randint(2, 99))
    fill = lambda text: text.replace("{w}", w).replace("{v}", v).replace("{k}", k)
    return _exchange(fill(vary(source, source.pick(wordings, held))), f"```python\n{fill(body)}\n```", "Python code in a code block.", "Some code",
                     {"kind": "code", "body": fill(body)})


def formula(source):
    if not source.held and source.rng.random() < 0.1:
        return _exchange(source.rng.choice(SOME_FORMULA), "$$a^2 + b^2 = c^2$$", "A formula between double dollars.", "A formula", None)
    name = source.rng.choice(list(FORMULAS))
    return _exchange(_ask(source, FORMULA, FORMULA_HELD, name), f"$${FORMULAS[name]}$$", "A formula between double dollars.",
                     f"The formula for {name}", {"kind": "contains", "words": [f"$${FORMULAS[name]}$$"]})
