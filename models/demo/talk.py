"""Small talk, who the model is, and saying that it does not know."""
from exchange import Exchange, vary
from facts import RELATIONS

GREET = "Hello! I am a very small demo model. How can I help you?"
WHO = ("I am a very small demo model with about 5 million parameters, trained for this program. I am built like SmolLM3, "
       "but I know very little.")
REAL = ("Download SmolLM3-3B-Q4_K_M.gguf and start: `smollm3 --model SmolLM3-3B-Q4_K_M.gguf serve`. "
        "The real model knows far more than I do.")
CAN = ("I can add and subtract numbers up to 999, answer some common facts, repeat, reverse and count words, remember what you "
       "tell me, call tools, and write small lists, tables, code and formulas.")
UNKNOWN = ("I do not know that. I am a very small demo model. I can add and subtract numbers up to 999, answer some common facts, "
           "repeat, reverse and count words, remember what you tell me, and call tools.")
THANKS = "You are welcome!"
BYE = "Goodbye! Have a nice day."
WELL = "I am fine, thank you. How can I help you?"
FINE = "I am glad to hear that."
SORRY = "I am sorry. I am a very small model and make mistakes. Please ask me again in other words."
NAME = "I am the demo model of smollm3. I have no other name."

# kind: (answer, thought, title, summary, wordings, held-out wordings)
TALK = {
    "greeting": (GREET, "The user greets me. I greet back.", "Greeting", "greeted me", [
        "hi", "Hi", "Hi!", "hello", "Hello", "Hello!", "hey", "Hey", "Hey!", "hi there", "Hi there!", "hello there", "good morning",
        "Good morning!", "good evening", "Good afternoon", "good day", "greetings", "yo", "hiya", "Hi, nice to meet you", "hallo",
        "Hello, can you hear me?", "hi :)", "Is anybody there?", "are you there?", "hello world", "howdy", "Hey you", "hi model",
        "hello bot", "Hi demo!", "test", "hey there", "Hello again", "hi!!", "Nice to meet you", "good evening to you", "moin", "hola"],
        ["Hello there, friend!", "Hey, good morning!", "hi hi", "Good day to you!"]),
    "how": (WELL, "The user asks how I am.", "How I am", "asked how I am", [
        "How are you?", "how are you", "How are you doing?", "How is it going?", "how's it going?", "Are you ok?", "how do you do?",
        "What's up?", "whats up", "How do you feel?", "Are you well?", "hi, how are you?", "hello, how are you doing?", "sup?",
        "How have you been?", "How are you today?"],
        ["Hello! How are you today?", "How are you doing today?", "Do you feel well?"]),
    "fine": (FINE, "The user is pleased.", "Good mood", "said that all is well", [
        "I am fine", "I'm good", "I am doing well", "great", "That is great", "good", "nice", "cool", "That's nice", "awesome", "Perfect",
        "very good", "well done", "Good job!", "that was right", "correct", "I like you", "wow", "ok", "okay", "I am happy", "amazing",
        "I feel good", "yes", "alright", "you are funny", "Great answer", "haha", "lol"],
        ["That is very good", "I am doing great", "Nice, well done!"]),
    "thanks": (THANKS, "The user thanks me.", "Thanks", "thanked me", [
        "thanks", "Thanks!", "thank you", "Thank you!", "thank you very much", "Thanks a lot", "many thanks", "thx", "ty", "Thanks for your help",
        "Thank you for the answer", "thank you so much!", "Great, thanks", "ok thanks", "cool, thank you", "That helped, thanks",
        "thanks, that is all"],
        ["Thanks, that was great!", "Thank you for helping me", "Nice, thanks a lot"]),
    "bye": (BYE, "The user says goodbye.", "Goodbye", "said goodbye", [
        "bye", "Bye!", "goodbye", "Goodbye!", "see you", "See you later", "bye bye", "good night", "I have to go", "talk to you later",
        "See you tomorrow", "farewell", "Have a nice day", "ciao", "that is all, bye", "I must leave now"],
        ["Goodbye and good night", "Bye, see you soon", "I have to leave, bye"]),
    "wrong": (SORRY, "The user is not content. I say sorry.", "A mistake", "said that I was wrong", [
        "That is wrong", "wrong", "that's not right", "No, that is wrong", "You are wrong", "This is not correct", "incorrect",
        "You made a mistake", "no", "that makes no sense", "I don't understand you", "nonsense", "bad answer", "you are stupid",
        "This is useless", "You don't understand me", "try again", "that was a bad answer", "What do you mean?"],
        ["Your answer is wrong", "I think that is not correct", "That was a mistake"]),
    "name": (NAME, "The user asks for my name.", "My name", "asked for my name", [
        "What is your name?", "what's your name", "whats your name?", "Do you have a name?", "How are you called?", "Tell me your name",
        "What should I call you?", "your name?", "What are you called?", "May I know your name?", "Who is this?", "say your name",
        "hi, what is your name?"],
        ["Can you tell me your name?", "Which name do you have?", "Hello, what are you called?"]),
    "who": (WHO, "The user asks what I am. I answer honestly: a very small demo model.", "Who I am", "asked who I am", [
        "Who are you?", "who are you", "What are you?", "Tell me about yourself", "Are you a robot?", "Are you a human?", "Are you an AI?",
        "Are you ChatGPT?", "Are you SmolLM3?", "Are you the real SmolLM3?", "What model are you?", "Which model is this?", "Introduce yourself",
        "How big are you?", "How many parameters do you have?", "Who made you?", "Who trained you?", "Are you smart?", "are you real?",
        "What kind of model are you?", "Is this SmolLM3?", "How large is this model?", "Describe yourself", "Are you a large language model?",
        "Who am I talking to?", "What is this?", "why are you so small?", "are you a bot", "Where do you come from?", "Are you GPT?",
        "hi, who are you?", "Why do you know so little?", "What is this model?", "are you a person?", "who created you?"],
        ["Can you tell me who you are?", "What sort of model am I talking to?", "Are you a real human?", "How many parameters does this model have?",
         "Please introduce yourself"]),
    "real": (REAL, "The user wants the real model. I say how to get it.", "Getting the real model", "asked how to get the real model", [
        "How do I get the real model?", "How can I get the real one?", "Where can I get a better model?", "How do I get a bigger model?",
        "Can I use a larger model?", "how do I run the real SmolLM3?", "Where can I download SmolLM3?", "I want the real model",
        "I need a smarter model", "How do I use SmolLM3-3B?", "Which file do I need for the real model?", "Give me the real model",
        "How can I load another model?", "how do I load the 3B model", "How do I start the big model?", "Is there a better version of you?",
        "Can I get a smarter model?", "How can I switch to the real model?", "How do I install the real SmolLM3?", "you are too small, I want a bigger model",
        "What do I do to get good answers?", "How do I load a GGUF file?", "Where is the real one?", "How do I upgrade?", "the real model please"],
        ["Where do I find the real model?", "How could I run the real SmolLM3-3B?", "I would like a better and bigger model", "How do I download the real one?"]),
    "can": (CAN, "The user asks what I can do. I name it.", "What I can do", "asked what I can do", [
        "What can you do?", "what can you do", "What are you able to do?", "help", "Help!", "Help me", "Can you help me?", "How can you help me?",
        "What are your abilities?", "What do you know?", "What can I ask you?", "what should I ask?", "Give me an example", "What are you good at?",
        "Show me what you can do", "What are your skills?", "How does this work?", "What else can you do?", "what now?", "Tell me what you can do",
        "I need help", "What can I do here?", "what is possible?", "What tasks can you do?", "how do I use you?", "menu", "list your abilities"],
        ["Can you tell me what you can do?", "Which things can you do?", "What could I ask you?", "What kind of help can you give me?"]),
}


# What people put before and after such a message; of each kind what does not make another kind of it.
BEFORE = {"greeting": ["Hey,", "Hello,", "Oh,", "Ah,", "Well,"], "how": ["Hi!", "Hello!", "Hey,", "So,", "Good morning!", "Hi there,"],
          "fine": ["Oh,", "Wow,", "Yes,", "Well,", "Haha,", "Ok,"], "thanks": ["Great,", "Nice,", "Ok,", "Good,", "Wow,", "Perfect,", "Cool,"],
          "bye": ["Ok,", "Thanks,", "Well,", "Good,", "So,"], "wrong": ["No,", "Sorry,", "Hm,", "Well,", "Oh no,"], "name": ["Hi!", "Hello,", "So,", "And"],
          "who": ["Hi!", "Hello,", "So,", "And", "Hey,"], "real": ["Ok,", "So,", "And"], "can": ["Hi!", "Hello,", "So,", "Ok,", "And"]}
AFTER = ["my friend", "friend", "buddy", "dear model", "little model", "{}", "{}", "everybody", "you there", "today", "now", "then", "again", "indeed", "really"]
letters = lambda text: "".join(filter(str.isalpha, text.lower()))
HELD_TALK = {letters(wording) for entry in TALK.values() for wording in entry[5]}


def _with_company(source, kind, user):
    """The message with some words before or after it."""
    rng = source.rng
    mark = user[-1] if user[-1] in "?!." else ""
    longer = user[:-1] if mark else user
    which = rng.choice(("before", "after", "both"))
    if which != "after" and kind in BEFORE:
        first = longer[:1] if longer.startswith(("I ", "I'")) else longer[:1].lower()
        longer = f"{rng.choice(BEFORE[kind])} {first}{longer[1:]}"
    if which != "before":
        longer += rng.choice((", ", " ")) + rng.choice(AFTER).format(source.name())
    return longer + mark


def small_talk(source):
    kind = source.rng.choice(list(TALK))
    answer, thought, title, summary, wordings, held = TALK[kind]
    user = wording = source.pick(wordings, held)
    if not source.held:
        if source.rng.random() < 0.4:
            user = _with_company(source, kind, user)
        if source.rng.random() < 0.25:
            user = user.lower()
        if source.rng.random() < 0.15:
            user = user.rstrip("?!.")
        if kind in ("who", "real", "can", "name", "how") and source.rng.random() < 0.2:
            user = vary(source, user)
        if letters(user) in HELD_TALK:
            user = wording
    return Exchange(user, answer, thought, "identity" if kind in ("who", "real", "can", "name") else "small talk", title, summary,
                    ["What can you do?", "Who are you?", "How do I get the real model?"])


# Things it cannot know; {w} a word, {n} a name, {p} a place, {m} a made-up word, {k} a number, {b} one too big for it
UNKNOWN_WORDINGS = [
    "What is {b} + {b}?", "{b} - {k}", "{b} plus {b}", "{k} * {k}", "How much is {b} + {k}?", "{k} / {k}", "Calculate {b} - {b}", "{k} + {k} + {k}",
    "What is the meaning of {w}?", "Who won the {w} yesterday?", "What will the weather be like in {p} tomorrow?", "Tell me a joke about {w}",
    "Write a poem about {w}", "Write a story about a {w} and a {w}", "Why is the {w} so {w}?", "How do I fix my {w}?", "How do I cook {w}?",
    "What do you think about {w}?", "Who is {n} {m}?", "When was {n} born?", "How old is {n}?", "Where does {n} live?", "What happened in {k}?",
    "What is the population of {p}?", "How far is it from {p} to {p}?", "Translate {w} into Spanish", "How do I learn {w}?", "Explain {w} to me",
    "What is {m}?", "What does {m} mean?", "How does a {w} work?", "Why do people like {w}?", "What is the best {w} in {p}?",
    "Should I buy a {w} or a {w}?", "What time is it?", "What day is it today?", "What is the news today?", "Who is the president of {p}?",
    "What is {k} times {k}?", "How much is {k} divided by {k}?", "What is the square root of {k}?", "Give me a recipe for {w}",
    "What is the stock price of {m}?", "Which {w} do you like best?", "Tell me something about {p}", "What is the history of {p}?",
    "How many people live in {p}?", "Write an email to {n} about the {w}", "Can you book a {w} for me?", "Where did I put my {w}?",
    "What is the difference between {w} and {w}?", "How heavy is a {w}?", "How tall is {n}?", "Who invented the {m}?", "What is the capital of {m}?",
    "Who wrote {m}?", "Which language is spoken in {m}?", "What is the opposite of {m}?", "What colour is a {m}?", "When does the {w} open?",
    "Is {w} good for me?", "Can I eat {w} with {w}?", "How long does it take to {w}?", "What is the name of the {w} in {p}?", "Sing a song about {w}",
    "Is there life on {w}?", "What is love?", "What is the meaning of life?", "Will it rain tomorrow?", "Do you like {w}?", "Prove that {w} is {w}",
    "How do I get from {p} to {p}?", "Recommend a good {w}", "Who is the best {w} in the world?", "What is quantum physics?", "Compare {w} and {w}",
    "Solve the equation x + {k} = {w}", "Who will win the election?", "what is my future?", "Tell me about the {w} war", "Explain the {w} theory",
    "How can I lose weight?", "What should I eat today?", "How do I make money?", "Where can I buy {w}?", "tell me a story", "tell me a joke",
    "What is the speed of {w}?", "Why does {n} love {w}?", "What did {n} do in {k}?", "Is {n} a good {w}?", "Who lives in {p}?", "asdf {m}",
    "What is the distance to the {w}?", "Why is {p} famous?", "How do I write a {w}?", "Can you draw a {w}?", "Does {n} know {n}?"]
UNKNOWN_HELD = [
    "Why do {w}s have {w}s?", "Could you explain how {w} works?", "Who was the first {w} in {p}?", "What did {n} eat for dinner?",
    "How do I repair a {w}?", "Tell me the story of {n}", "What is the price of a {w} in {p}?", "Will {n} come tomorrow?",
    "Write a song about {w} for me", "Which {w} is better for {n}?", "What is the capital of {m}?", "When will the {w} be ready?"]


def unknown(source):
    rng = source.rng
    wording = source.pick(UNKNOWN_WORDINGS, UNKNOWN_HELD)
    while "{" in wording:
        at = wording.index("{")
        slot = wording[at + 1]
        item = {"w": source.word, "n": source.name, "p": source.place, "m": lambda: source.made_up().capitalize(),
                "k": lambda: str(rng.randint(2, 2030)),
                "b": lambda: str(rng.randint(1001, 99999))}[slot]()
        wording = wording[:at] + item + wording[at + 3:]
    return Exchange(vary(source, wording), UNKNOWN, "I do not know this. I say so and name what I can do.", "unknown",
                    "A question without an answer", "asked something that I do not know",
                    ["What can you do?", "What is the capital of France?", "How do I get the real model?"])


def fact(source):
    rng = source.rng
    sizes = [len(r.table) ** 0.7 for r in RELATIONS]
    relation = rng.choices(RELATIONS, sizes)[0]
    subjects = list(relation.table)
    return fact_about(source, relation, rng.choice(subjects), source.pick(relation.wordings, relation.held))


def fact_about(source, relation, subject, wording):
    """The exchange for one entry of the table in one wording."""
    from facts import first_upper
    obj = relation.table[subject]
    others = [s for s in relation.table if s != subject][:3]
    answer = first_upper(relation.answer.format(s=subject, o=obj))
    title = relation.title.format(s=subject)
    return Exchange(vary(source, first_upper(wording.format(subject)) if wording[0] == "{" and source.held else wording.format(subject)),
                    answer, f"{title}: {obj}.", "facts", first_upper(title), f"asked about {title[0].lower() + title[1:]}",
                    [first_upper(relation.wordings[0].format(s)) for s in others], check={"kind": "contains", "words": [obj]})
