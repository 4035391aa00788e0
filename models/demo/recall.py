"""Remembering what the user told: a name, a number, a colour, a pet, a city."""
from exchange import Exchange, vary

# slot: (item, tell, tell held, acknowledgement, ask, ask held, answer, title)
SLOTS = {
    "name": (lambda s: s.name(),
             ["My name is {}.", "I am called {}.", "I am {}.", "Call me {}.", "My name's {}.", "Hi, I'm {}.", "Hello, my name is {}.",
              "You can call me {}.", "Please call me {}.", "People call me {}.", "Remember that my name is {}.", "hi, i am {}", "The name is {}."],
             ["Hello! My name is {}.", "Hey, you can call me {}.", "Remember my name: I am {}."],
             "Nice to meet you, {}.",
             ["What is my name?", "What's my name?", "Do you remember my name?", "Who am I?", "Tell me my name.", "Do you know my name?",
              "What am I called?", "How am I called?", "what was my name?", "Say my name.", "Can you tell me my name?"],
             ["Do you still remember my name?", "Can you say my name?", "What was my name again?"],
             "Your name is {}.", "Your name"),
    "number": (lambda s: s.number(1, 9999) if s.rng.random() < 0.5 else s.number(1, 99),
               ["Remember the number {}.", "My number is {}.", "The number is {}.", "Please remember this number: {}.", "My lucky number is {}.",
                "My favourite number is {}.", "Keep the number {} in mind.", "Don't forget the number {}.", "The secret number is {}.",
                "I think of the number {}.", "The code is the number {}."],
               ["Please keep this number in mind: {}.", "Remember my number: {}.", "Do not forget my number {}."],
               "I will remember the number {}.",
               ["What is the number?", "What was the number?", "Which number did I tell you?", "Tell me the number.", "What is my number?",
                "Do you remember the number?", "Say the number.", "Which number should you remember?", "What number did I say?",
                "What is my lucky number?", "What's the secret number?"],
               ["Do you still know the number?", "Which number did I give you?", "What was my number again?"],
               "The number is {}.", "The number"),
    "colour": (lambda s: s.colour(),
               ["My favourite colour is {}.", "My favorite color is {}.", "I like the colour {}.", "I love the color {}.", "{} is my favourite colour.",
                "Remember the colour {}.", "The colour I like best is {}.", "My colour is {}.", "the color is {}", "Remember that my favourite color is {}."],
               ["The color that I like most is {}.", "Please remember my favourite colour: {}.", "I like the color {} most."],
               "I will remember the colour {}.",
               ["What is my favourite colour?", "What's my favorite color?", "Which colour do I like?", "What colour did I tell you?", "Which color is my favourite?",
                "Do you remember my favourite colour?", "Tell me my favorite color.", "What was my favourite colour?", "What is the colour?", "which color do I love?"],
               ["Do you still know my favourite colour?", "Which color do I like most?", "What was my favorite color again?"],
               "Your colour is {}.", "Your favourite colour"),
    "pet": (lambda s: s.pet(),
            ["My dog is called {}.", "My cat is called {}.", "I have a dog named {}.", "I have a cat named {}.", "My pet's name is {}.", "My dog's name is {}.",
             "The name of my cat is {}.", "The name of my dog is {}.", "I have a pet called {}."],
            ["My pet is called {}.", "I have a pet named {}."],
            "{} is a nice name for a pet.",
            ["What is my pet called?", "What is the name of my pet?", "Do you remember my pet's name?", "What's my pet's name?", "How is my pet called?",
             "Tell me the name of my pet.", "What was my pet's name?"],
            ["Do you still know the name of my pet?", "What was my pet called?"],
            "Your pet is called {}.", "Your pet"),
    "city": (lambda s: s.place(),
             ["I live in {}.", "I am from {}.", "I come from {}.", "My city is {}.", "My home is {}.", "My home town is {}.", "I'm from {}.", "I was born in {}.",
              "My family lives in {}."],
             ["My home city is {}.", "I come from the city of {}."],
             "{} is a nice city.",
             ["Where do I live?", "Where am I from?", "Which city do I live in?", "What is my city?", "Where do I come from?", "What is my home town?",
              "Do you remember where I live?", "Tell me where I live.", "In which city do I live?"],
             ["Do you still know where I live?", "In what city do I live?"],
             "You live in {}.", "Your city"),
}


def tell_and_ask(source, slot=None):
    """Two exchanges: the user tells something, and asks for it later."""
    slot = slot or source.rng.choice(list(SLOTS))
    item, tell, tell_held, ack, ask, ask_held, answer, title = SLOTS[slot]
    value = str(item(source))
    wording = source.pick(tell, tell_held)
    rng = source.rng
    told = wording.format(value) if source.held else vary(source, wording.replace("{}", "0")).replace("0", value)
    if not source.held and rng.random() < 0.1:
        told = told.rstrip(".")
    if told[:1].islower() and rng.random() < 0.5 and not source.held:
        told = told[:1].upper() + told[1:]
    tell_exchange = Exchange(told, ack.format(value), f"The user tells me something: {value}.", "recall", title,
                             f"told me {title[0].lower()}{title[1:]}", [ask[0], "What can you do?", "Who are you?"],
                             check={"kind": "contains", "words": [value]})
    ask_exchange = Exchange(vary(source, source.pick(ask, ask_held)), answer.format(value), f"The user told me before: {value}.", "recall",
                            title, f"asked me for {title[0].lower()}{title[1:]}", ["What can you do?", "Who are you?", "What is 12 + 34?"],
                            check={"kind": "contains", "words": [value]})
    return slot, tell_exchange, ask_exchange


def never_told(source, slot):
    """The user asks for something it has not said."""
    title = SLOTS[slot][7]
    what = {"name": "your name", "number": "a number", "colour": "your favourite colour", "pet": "the name of your pet", "city": "your city"}[slot]
    return Exchange(vary(source, source.pick(SLOTS[slot][4], SLOTS[slot][5])), f"You have not told me {what} yet.",
                    "The user has not told me this.", "recall", title, f"asked me for {title[0].lower()}{title[1:]}",
                    ["What can you do?", "Who are you?", "What is 12 + 34?"], check={"kind": "contains", "words": ["not told me"]})


NOTE = ["Here is a note: {}", "I read this today: {}", "Look at this text: {}", "My notes: {}", "Some words for you: {}", "This is my list: {}",
        "Listen: {}", "I wrote this: {}"]
NOTE_HELD = ["Here are my words: {}", "I found this text: {}"]


def note(source, length):
    """A long message that asks for nothing: distance between telling and asking."""
    words = " ".join(source.word() if source.rng.random() < 0.9 else source.rng.choice([",", "and", "the", "a", "is", "of"]) for _ in range(length))
    return Exchange(source.pick(NOTE, NOTE_HELD).format(words + "."), "Thank you, I have read it.", "The user shows me a text.", "note", "A note",
                    "showed me a note", ["What can you do?", "Who are you?", "What is 12 + 34?"])
