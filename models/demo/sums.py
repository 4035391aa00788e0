"""Adding and subtracting up to 999, column by column."""
from exchange import Exchange, requested, vary

PLUS = ["What is {a} + {b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} =", "What's {a} plus {b}?", "How much is {a} plus {b}?", "Add {a} and {b}.",
        "Calculate {a} + {b}.", "Compute {a} + {b}", "{a} plus {b}", "What is the sum of {a} and {b}?", "Add {b} to {a}.", "Sum of {a} and {b}?",
        "what do I get when I add {b} to {a}?", "{a} and {b} together make?", "How much is {a} + {b}?", "Work out {a} + {b}.",
        "I have {a} {w} and get {b} more. How many do I have?", "{n} has {a} {w} and {m} has {b}. How many do they have together?",
        "There are {a} people and {b} more come. How many are there?", "a book costs {a} and a bag costs {b}. What do they cost together?",
        "What is {a}+{b}", "Tell me {a} + {b}", "what does {a} + {b} equal?", "{a} + {b} makes what?", "Which number is {a} + {b}?",
         "If I add {a} and {b}, what is it?", "{a} and {b} added?", "I want {a} + {b}", "The sum of {a} and {b}, what is it?",
         "{n} had {a} {w}, then got {b}. How many now?", "First {a} {w}, then {b} more. How many in all?", "What do {a} and {b} sum up to?"] + \
    requested("add {a} to {b}", "compute {a} + {b}", "work out {a} plus {b}", "sum {a} and {b}", "solve {a} + {b}", "tell me what {a} + {b} is")
PLUS_HELD = ["How much do {a} and {b} make together?", "Can you add {a} and {b} for me?", "Please calculate the sum of {a} and {b}.",
             "What do I get for {a} + {b}?", "{n} has {a} {w} and gets {b} more. How many does {n} have?"]
MINUS = ["What is {a} - {b}?", "{a} - {b}", "{a}-{b}", "{a} - {b} =", "What's {a} minus {b}?", "How much is {a} minus {b}?",
         "Subtract {b} from {a}.", "Calculate {a} - {b}.", "Compute {a} - {b}", "{a} minus {b}", "What is the difference of {a} and {b}?",
         "Take {b} away from {a}.", "what is left when I take {b} from {a}?", "How much is {a} - {b}?", "Work out {a} - {b}.", "{a} less {b}",
         "I have {a} {w} and give away {b}. How many are left?", "{n} has {a} {w} and loses {b}. How many are left?",
         "There are {a} people and {b} leave. How many are left?", "What is {a}-{b}", "Tell me {a} - {b}", "what does {a} - {b} equal?",
         "{a} - {b} makes what?", "Which number is {a} - {b}?", "If I take {b} from {a}, what is it?", "I want {a} - {b}",
         "The difference of {a} and {b}, what is it?", "{n} had {a} {w}, then lost {b}. How many now?", "How much remains of {a} without {b}?",
         "Of {a} {w} {b} are gone. How many are there?"] + \
    requested("subtract {b} from {a}", "compute {a} - {b}", "work out {a} minus {b}", "take {b} off {a}", "solve {a} - {b}", "tell me what {a} - {b} is")
MINUS_HELD = ["Can you subtract {b} from {a} for me?", "Please calculate {a} minus {b}.", "What do I get for {a} - {b}?",
              "How much is left of {a} when I take away {b}?", "{n} has {a} {w} and gives away {b}. How many are left?"]
COLUMNS = ("ones", "tens", "hundreds")


def digits(n):
    return [n // 10 ** i % 10 for i in range(3)]


def addition_steps(a, b):
    """'ones 8+8+0=16' for every column: the digits, the carry, two digits of sum; each small enough to be known by heart."""
    lines, carry = [f"{a:03d}+{b:03d}"], 0
    for column, x, y in zip(COLUMNS, digits(a), digits(b)):
        total = x + y + carry
        lines.append(f"{column} {x}+{y}+{carry}={total:02d}")
        carry = total // 10
    return "\n".join(lines)


def subtraction_steps(a, b):
    """'ones 10+6-8-0=08' for every column, the last number what was borrowed; the larger number first, a minus for the result."""
    big, small = max(a, b), min(a, b)
    lines, borrowed = [f"{big:03d}-{small:03d}" + (" minus" if a < b else "")], 0
    for column, x, y in zip(COLUMNS, digits(big), digits(small)):
        total = 10 + x - y - borrowed
        lines.append(f"{column} 10+{x}-{y}-{borrowed}={total:02d}")
        borrowed = 1 - total // 10
    return "\n".join(lines)


def held_pair(a, b):
    """One pair in 50 belongs to the evaluation."""
    return (a * 1009 + b * 31) % 50 == 0


def sum_or_difference(source):
    """Under /no_think the steps stand in the answer itself."""
    rng = source.rng
    plus = rng.random() < 0.5
    while True:
        a, b = (rng.randint(0, 10 ** rng.choice((1, 2, 2, 3, 3, 3)) - 1) for _ in range(2))
        if not plus and a < b and rng.random() < 0.8:
            a, b = b, a
        if held_pair(a, b) == source.held:
            break
    wording = source.pick(PLUS, PLUS_HELD) if plus else source.pick(MINUS, MINUS_HELD)
    name, other = source.name(), source.name()
    things = source.pick(["apples", "coins", "books", "cards", "marbles", "stamps", "eggs", "balls", "euros"], ["pens", "cups", "nuts"])
    user = vary(source, wording.format(a=a, b=b, n=name, m=other, w=things))
    sign, result = ("+", a + b) if plus else ("-", a - b)
    steps = addition_steps(a, b) if plus else subtraction_steps(a, b)
    answer = f"{a} {sign} {b} = {result}"
    return Exchange(user, answer, steps, "sums",
                    f"{'Adding' if plus else 'Subtracting'} {a} and {b}", f"asked for {a} {sign} {b}",
                    [f"What is {b} + {a}?", f"What is {a} + 1?", f"What is {b} - 1?"],
                    check={"kind": "number", "value": str(result)}, direct=False,
                    unthought=f"{steps}\n{answer}")
