"""Described tools, requests that need one of them, and their results."""
from dataclasses import dataclass
import json

from words import HELD_NOUNS, HELD_VALUES

QUERY_VERBS = ["get", "find", "show", "fetch", "read", "look_up", "query", "give", "search", "load"]
QUERY_VERBS_HELD = ["check", "retrieve", "request"]
NOUNS = """weather time price score schedule distance population address phone balance status rating menu news history traffic weight
size age temperature humidity calendar profile salary budget discount stock owner author recipe title version license route map
picture summary translation definition color length speed altitude depth area volume capacity level rank grade result report
invoice order ticket seat flight train hotel room car library playlist album lyrics movie password contact email birthday""".split()
NOUNS_HELD = HELD_NOUNS
SUBJECTS = ["city", "name", "item", "place", "product", "person", "user", "country", "street", "company", "team", "topic", "word", "title",
            "station", "animal", "book", "game", "id", "key"]
SUBJECTS_HELD = ["town", "customer", "article", "address"]
QUESTIONS = ["What is the {noun} of {value}?", "What is the {noun} for {value}?", "What's the {noun} in {value}?", "Get the {noun} of {value}.",
             "Show me the {noun} of {value}", "Find the {noun} for {value}", "Tell me the {noun} of {value}", "{noun} of {value}",
             "I need the {noun} of {value}", "Give me the {noun} for {value}.", "Look up the {noun} of {value}", "How is the {noun} in {value}?",
             "Do you know the {noun} of {value}?", "the {noun} for {value} please", "Could you get the {noun} of {value}?",
             "I would like the {noun} for {value}.", "What about the {noun} of {value}?", "Let me see the {noun} of {value}.",
             "Which {noun} does {value} have?", "Can I have the {noun} of {value}?", "I want the {noun} of {value}", "{value}: what is its {noun}?",
             "Is there a {noun} for {value}?", "Please look for the {noun} of {value}.", "{word} the {noun} of {value}", "{word} {value} for its {noun}",
             "I {word} to see the {noun} for {value}.", "For {value} I need the {noun}", "{value} has a {noun}, what is it?"]
QUESTIONS_HELD = ["Can you find the {noun} of {value}?", "I want to know the {noun} for {value}.", "Please tell me the {noun} of {value}."]
DESCRIPTIONS = ["Get the {noun} of a {subject}", "Find the {noun} for a {subject}", "Returns the {noun} of a {subject}.", "Look up the {noun} of the {subject}.",
                "Shows the {noun} for a given {subject}", "{noun} of a {subject}", "Get the current {noun} for a {subject}.",
                "{verb} the {noun} of one {subject}.", "{verb} a {noun} by {subject}", "{verb}s the {noun} that a {subject} has", "The {noun} of some {subject}",
                "Tells the {noun} of each {subject}.", "For one {subject}: {verb} the {noun}.", "Use this for the {noun} of a {subject}",
                "{subject} and its {noun}", "Answers with the {noun} for any {subject}.", "{verb} {noun}"]
DESCRIPTIONS_HELD = ["Retrieve the {noun} for one {subject}.", "Gives the {noun} of a {subject}."]

# verb, object: parameters (name, type, slot), requests; slots: s text, n number, p person, c city
ACTIONS = [
    ("set_timer", "Set a timer", [("minutes", "integer", "n")], ["Set a timer for {n} minutes", "Start a timer of {n} minutes", "timer {n} minutes", "Wake me in {n} minutes with a timer"]),
    ("play_song", "Play a song", [("title", "string", "s")], ["Play the song {s}", "Play {s}", "I want to hear the song {s}", "Put on the song {s}"]),
    ("send_message", "Send a message to a person", [("to", "string", "p"), ("text", "string", "s")], ["Send the message {s} to {p}", "Write a message to {p}: {s}", "Message {p}: {s}", "Tell {p} the message {s}"]),
    ("create_note", "Create a note", [("text", "string", "s")], ["Create a note: {s}", "Make a note that says {s}", "Note: {s}", "Write a note {s}"]),
    ("turn_on_light", "Turn on the light in a room", [("room", "string", "s")], ["Turn on the light in the {s}", "Switch the light on in the {s}", "Light on in the {s}"]),
    ("add_numbers", "Add two numbers", [("a", "integer", "n"), ("b", "integer", "m")], ["Add {n} and {m} with the tool", "Use the tool to add {n} and {m}", "Add the numbers {n} and {m}"]),
    ("multiply", "Multiply two numbers", [("a", "integer", "n"), ("b", "integer", "m")], ["What is {n} times {m}?", "Multiply {n} by {m}", "{n} * {m}", "How much is {n} times {m}?"]),
    ("order_food", "Order food", [("dish", "string", "s"), ("amount", "integer", "n")], ["Order {n} {s}", "I want to order {n} {s}", "Please order {n} of {s}"]),
    ("call_person", "Call a person on the phone", [("name", "string", "p")], ["Call {p}", "Phone {p}", "Please call {p} now", "I want to call {p}"]),
    ("set_temperature", "Set the temperature", [("degrees", "integer", "n")], ["Set the temperature to {n}", "Make it {n} degrees", "Set the heating to {n} degrees"]),
    ("buy_ticket", "Buy a ticket to a city", [("city", "string", "c")], ["Buy a ticket to {c}", "I need a ticket to {c}", "Get me a ticket to {c}"]),
    ("convert_money", "Convert an amount of money", [("amount", "integer", "n"), ("currency", "string", "s")], ["Convert {n} to {s}", "How much is {n} in {s}?", "Change {n} into {s}"]),
    ("translate", "Translate a text into a language", [("text", "string", "s"), ("language", "string", "l")], ["Translate {s} into {l}", "How do you say {s} in {l}?", "What is {s} in {l}?", "Translate the word {s} to {l}"]),
    ("open_app", "Open an app", [("app", "string", "s")], ["Open the app {s}", "Open {s}", "Start the app {s}"]),
    ("delete_file", "Delete a file", [("file", "string", "f")], ["Delete the file {f}", "Remove the file {f}", "delete {f}"]),
    ("search_web", "Search the web", [("query", "string", "s")], ["Search the web for {s}", "Google {s}", "Search for {s}", "Look for {s} on the web"]),
    ("plan_trip", "Plan a trip from one city to another", [("from", "string", "c"), ("to", "string", "d")], ["Plan a trip from {c} to {d}", "I want to travel from {c} to {d}", "trip from {c} to {d}"]),
    ("roll_dice", "Roll dice", [("sides", "integer", "n")], ["Roll a dice with {n} sides", "Roll a {n} sided dice", "Throw a dice with {n} sides"]),
]
ACTIONS_HELD = [
    ("start_alarm", "Start an alarm", [("minutes", "integer", "n")], ["Start an alarm in {n} minutes", "Please start the alarm in {n} minutes"]),
    ("paint_wall", "Paint a wall in a room", [("room", "string", "s")], ["Paint the wall in the {s}", "Please paint a wall in the {s}"]),
    ("invite_guest", "Invite a guest", [("name", "string", "p")], ["Invite the guest {p}", "Please invite {p} as a guest"]),
    ("reserve_bus", "Reserve a bus to a city", [("city", "string", "c")], ["Reserve a bus to {c}", "I want to reserve a bus to {c}"]),
    ("divide", "Divide two numbers", [("a", "integer", "n"), ("b", "integer", "m")], ["Divide {n} by {m}", "Please divide {n} by {m}"]),
]

# What can be done with anything, so that a tool must be found by the words of its description: slots of the parameters,
# descriptions, requests; {v} a verb, {o} an object, {name} the first parameter's name. The slots as above, p a person's name.
PATTERNS = [
    ("n", ["{v} {a} {o}", "{v} the {o}", "{v} {a} {o} for some time", "{v}s the {o}"],
     ["{v} {a} {o} for {n} {name}", "{v} the {o} in {n} {name}", "{v} {a} {o} of {n} {name}", "{o} {n} {name}", "{v} the {o} for {n} {name}",
      "I want to {v} the {o} for {n} {name}", "{v} {n} {name} of {o}", "can you {v} the {o} to {n}?", "{v} {o} {n}", "{n} {name} of {o}, {v} it"]),
    ("s", ["{v} {a} {o} in a {name}", "{v} the {o} with a {name}", "{v} {a} {o} by its {name}", "{v} {a} {o}", "{v}s the {o} in the {name}"],
     ["{v} the {o} in the {s}", "{v} {a} {o} in the {s}", "{v} the {o} {s}", "I need to {v} the {o} {s}", "{v} {a} {o} called {s}",
      "the {o} {s}: {v} it", "can you {v} the {o} with {s}?", "{v} {s} as the {o}", "now {v} {a} {o} in the {s}"]),
    ("p", ["{v} {a} {o}", "{v} the {o} of a person", "{v} a person as {o}", "{v}s {a} {o} by name"],
     ["{v} the {o} {p}", "{v} {p} as {a} {o}", "{v} the {o} of {p}", "{p} is the {o} to {v}", "let us {v} the {o} {p}", "can you {v} {p} as {o}?"]),
    ("c", ["{v} {a} {o} to a {name}", "{v} the {o} in a city", "{v} {a} {o} from a city"],
     ["{v} {a} {o} to {c}", "I want to {v} {a} {o} to {c}", "{v} the {o} in {c}", "{v} {a} {o} from {c}", "I need to {v} the {o} to {c}", "{o} to {c}, {v} it"]),
    ("nm", ["{v} two numbers", "{v} one number and another", "{v}s numbers"],
     ["{v} {n} by {m}", "{v} {n} and {m}", "{v} {n} with {m}", "{v} the numbers {n} and {m}", "I want to {v} {n} by {m}", "can you {v} {n} and {m}?"]),
    ("ps", ["{v} {a} {o} for a person", "{v} the {o} to someone"],
     ["{v} {p} the {o} {s}", "for {p} {v} the {o} {s}", "{p} wants the {o} {s}, {v} it", "I want to {v} {p} the {o} {s}"]),
    ("sn", ["{v} some {o}", "{v} a number of {o}"],
     ["{v} the {o} {s} {n} times", "{v} {s} as {o} for {n}", "{v} the {o} {s} at {n}", "I need to {v} the {o} {s} for {n}"]),
]
VERBS = """start stop open close move send order cancel clean repair wash print save share block mark rent return lock feed water pack count
record mix join leave visit sort rename copy hide show pause resume test update measure store""".split()
NUMBERS = ["minutes", "hours", "days", "amount", "number", "count", "size", "level", "degrees", "times", "percent", "price", "value", "limit"]

LANGUAGES = ["French", "German", "Spanish", "Italian", "English", "Latin"]
VALUES = ["sunny", "cloudy", "rainy", "open", "closed", "high", "low", "good", "bad", "ready", "late", "free", "done", "active", "unknown", "full"]
VALUES_HELD = HELD_VALUES
ACT_DONE = [{"status": "ok"}, {"status": "done"}, {"result": "ok"}, {"success": True}, {"status": "sent"}]


@dataclass
class Task:
    """One tool with a request for it: the call that answers the request, and a result."""
    about: str    # the word that leads from the request to the tool
    schema: dict
    request: str
    call: dict
    result: str
    answer: str


def schema(name, description, parameters, rng):
    properties = {}
    for p, kind in parameters:
        properties[p] = {"type": kind}
        if rng.random() < 0.3:
            properties[p]["description"] = rng.choice(["The {}", "the {}", "{} to use", "Name of the {}"]).format(p)
    function = {"name": name, "description": description,
                "parameters": {"type": "object", "properties": properties, "required": [p for p, _ in parameters]}}
    return {"type": "function", "function": function}


def _subject_value(source):
    rng = source.rng
    return rng.choice((source.place, source.name, source.word, source.place, lambda: f"{source.word()} {source.word()}"))()


def _noun(source):
    if source.held:
        return source.rng.choice(NOUNS_HELD)
    # Mostly of several tokens, as a word is that training has not seen.
    return source.rng.choice((source.made_up, source.made_up, source.word, lambda: source.rng.choice(NOUNS)))()


def _value(source):
    rng = source.rng
    return rng.choice((lambda: rng.randint(0, 999), lambda: source.pick(VALUES, VALUES_HELD), source.word,
                       lambda: f"{rng.randint(1, 99)} {source.word()}"))()


def _result(source, noun):
    """(what the tool returns, what the model says about it)"""
    rng = source.rng
    if rng.random() < 0.25:
        text = " ".join(str(_value(source)) for _ in range(rng.randint(1, 3)))
        return text, f"The result: {text}."
    fields = {noun: _value(source)}
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        fields[_noun(source)] = _value(source)
    return json.dumps(fields), "The result: " + ", ".join(f"{k} {v}" for k, v in fields.items()) + "."


def _often_new(source, usual, share):
    """A name of a tool's part. Were it always one of a few, they would be learnt by heart instead of read from the schema."""
    if source.held or source.rng.random() >= share:
        return usual
    return source.rng.choice((source.word, source.made_up))()


def query(source):
    rng = source.rng
    noun = _noun(source)
    verb = _often_new(source, source.pick(QUERY_VERBS, QUERY_VERBS_HELD), 0.3)
    subject = _often_new(source, source.pick(SUBJECTS, SUBJECTS_HELD), 0.6)
    name = rng.choice([f"{verb}_{noun}", f"{verb}_{noun}", f"{noun}_{verb}", f"{verb}{noun.capitalize()}", noun])
    description = source.pick(DESCRIPTIONS, DESCRIPTIONS_HELD).format(noun=noun, subject=subject, verb=verb)
    description = description[:1].upper() + description[1:] if description.startswith(verb) else description
    value = _subject_value(source)
    wording = source.pick(QUESTIONS, QUESTIONS_HELD)
    request = wording.format(noun=noun, value=value, word=source.word() if "{word}" in wording else "")
    result, answer = _result(source, noun)
    return Task(noun, schema(name, description, [(subject, "string")], rng), request, {"name": name, "arguments": {subject: value}}, result, answer)


def _slots(source):
    rng = source.rng
    text = " ".join(source.word() for _ in range(rng.choice((1, 1, 2, 3))))
    return {"n": rng.randint(1, 120), "m": rng.randint(1, 999), "s": text, "p": source.name(), "c": source.place(), "d": source.place(),
            "l": rng.choice(LANGUAGES), "f": source.word() + rng.choice([".txt", ".pdf", ".png"])}


def _listed_action(source, slots):
    """(what it is about, name, description, parameters, request) of one of the lists."""
    rng = source.rng
    name, description, parameters, requests = source.pick(ACTIONS, ACTIONS_HELD)
    about = name.split("_")[-1]
    if not source.held and parameters[0][0] not in ("a", "from"):
        if rng.random() < 0.3:  # other names, so that only the description tells
            renamed = source.made_up()
            name = rng.choice([f"{renamed}_{name.split('_')[-1]}", f"{name.split('_')[0]}_{renamed}", name])
        parameters = [(_often_new(source, p, 0.4), kind, slot) for p, kind, slot in parameters]
    return about, name, description, parameters, rng.choice(requests).format(**slots)


def _patterned_action(source, slots):
    """The same, of any verb and any object."""
    rng = source.rng
    kinds, descriptions, requests = rng.choice(PATTERNS)
    verb = rng.choice(VERBS) if rng.random() < 0.5 else source.word()
    object_ = _noun(source)
    if kinds == "nm":
        name, parameters = rng.choice([verb, f"{verb}_numbers"]), list(zip(rng.choice(("ab", "xy", "pq")), ("integer",) * 2, kinds))
    else:
        name = rng.choice([f"{verb}_{object_}", f"{verb}_{object_}", f"{verb}_{object_}", f"{verb}{object_.capitalize()}", f"{object_}_{verb}"])
        usual = {"n": (NUMBERS, "integer"), "s": (SUBJECTS, "string"), "p": (["name", "person", "user", "who", "to"], "string"),
                 "c": (["city", "place", "to", "target"], "string")}
        parameters = [(_often_new(source, rng.choice(usual[k][0]), 0.4), usual[k][1], k) for k in kinds]
    fill = lambda text: text.format(v=verb, o=object_, a="an" if object_[0] in "aeiou" else "a", name=parameters[0][0], **slots)
    upper = lambda text: text[:1].upper() + text[1:]
    description, request = upper(fill(rng.choice(descriptions))), fill(rng.choice(requests))
    return verb if kinds == "nm" else object_, name, description, parameters, upper(request) if rng.random() < 0.7 else request


def action(source):
    rng = source.rng
    slots = _slots(source)
    make = _listed_action if source.held or rng.random() < 0.4 else _patterned_action
    about, name, description, parameters, request = make(source, slots)
    if len({p for p, _, _ in parameters}) < len(parameters) or not source.held and name in {held[0] for held in ACTIONS_HELD}:
        return action(source)
    arguments = {p: slots[slot] for p, _, slot in parameters}
    if all(kind == "integer" for _, kind, _ in parameters) and rng.random() < 0.5:
        fields = {"result": rng.randint(0, 9999)}
    else:
        fields = rng.choice(ACT_DONE)
    answer = "The result: " + ", ".join(f"{k} {json.dumps(v) if isinstance(v, bool) else v}" for k, v in fields.items()) + "."
    return Task(about, schema(name, description, [(p, kind) for p, kind, _ in parameters], rng), request, {"name": name, "arguments": arguments},
                json.dumps(fields), answer)


def task(source):
    return action(source) if source.rng.random() < 0.4 else query(source)


def toolset(source):
    """One to four tasks whose tools are offered together, in training up to six: no two of one name, of the same description, or about
    the same thing, for then no request would tell which one it needs."""
    tasks = []
    for _ in range(source.rng.choice((1, 2, 2, 3, 3, 4) if source.held else (1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 6))):
        other = task(source)
        function = other.schema["function"]
        if all(function["name"] != t.schema["function"]["name"] and function["description"] != t.schema["function"]["description"] and
               other.about != t.about for t in tasks):
            tasks.append(other)
    return tasks
