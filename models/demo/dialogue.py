"""Conversations: exchanges put together, with or without thinking, tools and a wrap-up at the end."""
from chat import Conversation, Turn
from exchange import vary
from markdown import markdown
import recall
import sums
import talk
import toolbox
import wordplay
from words import Source

TITLE = ["Give this conversation a short title.", "Write a short title for this conversation.", "What is a good title for this conversation?",
         "Title this conversation.", "Find a title for our conversation.", "Name this conversation.", "Give me a title for this chat."]
TITLE_HELD = ["Could you give this conversation a title?", "Please write a title for this chat."]
SUMMARY = ["Summarize this conversation in one sentence.", "Summarize this conversation.", "Give me a summary of this conversation.",
           "What did we talk about?", "Write a short summary of this chat.", "Sum up our conversation.", "Summarise our conversation."]
SUMMARY_HELD = ["Could you summarize this chat?", "Please write a summary of our conversation."]
FOLLOW_UPS = ["Suggest three follow-up questions.", "Propose three follow-up questions.", "What could I ask next? Give me three questions.",
              "Give me three follow-up questions.", "Suggest three questions that I could ask next.", "Three follow-ups, please."]
FOLLOW_UPS_HELD = ["Could you suggest three follow-up questions?", "Please propose three questions that I could ask."]
SYSTEMS = ["You are a helpful assistant.", "You are a helpful AI assistant.", "Be brief.", "Answer in English.", "You are a friendly assistant.",
           "Keep your answers short.", "Be polite.", "You are an assistant in a terminal.", "You are a {w}.", "Talk like a {w}.",
           "You are {n}, a {w} from {p}.", "You help people with their {w} and {w}. Be {w}.", "The user is called {n} and likes {w}.",
           "Answer every question about {w}. Never talk about {w} or {w}.", "You are a {w} assistant for the {w} company {n}."]

SINGLE = {"facts": talk.fact, "sums": sums.sum_or_difference, "repeat": wordplay.repeat, "reverse": wordplay.reverse, "count": wordplay.count,
          "talk": talk.small_talk, "unknown": talk.unknown, "markdown": markdown}
# share of the samples whose last answer is of this kind
MIX = {"facts": 22, "sums": 16, "repeat": 5, "reverse": 8, "count": 5, "talk": 8, "unknown": 5, "markdown": 8, "recall": 10, "tools": 16, "wrapup": 6}
FILLERS = ["facts", "facts", "sums", "repeat", "talk", "talk", "unknown", "markdown", "count", "note"]


def _filler(source, note_length=0):
    kind = source.rng.choice(FILLERS)
    if kind == "note" or note_length:
        return recall.note(source, note_length or source.rng.randint(5, 40))
    return SINGLE[kind](source)


def _turns(exchange, thinking, last):
    """User and assistant turn. An answer that needs its thought is not learnt from where the thought is not shown."""
    answer = exchange.answer if thinking or not exchange.unthought else exchange.unthought
    weight = 1.0 if last else (0.5 if exchange.direct or not thinking else 0.0)
    return [Turn("user", exchange.user), Turn("assistant", answer, exchange.thought, weight=weight)]


def assemble(exchanges, thinking, task, **options):
    turns = []
    for i, e in enumerate(exchanges):
        turns += _turns(e, thinking, i == len(exchanges) - 1)
    check = exchanges[-1].check or {"kind": "exact", "text": turns[-1].content}
    return Conversation(turns, thinking, task=task, check=check, **options)


def single(source, kind, thinking, before=0):
    exchange = SINGLE[kind](source)
    return assemble([_filler(source) for _ in range(before)] + [exchange], thinking, exchange.task)


def recalled(source, thinking, turns=None, length=None):
    """Something told, `turns` exchanges of anything, then the question for it."""
    rng = source.rng
    slot, tell, ask = recall.tell_and_ask(source)
    turns = rng.choice((0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7)) if turns is None else turns
    between = [_filler(source) for _ in range(turns)]
    if length:
        while between and sum(len(e.user) + len(e.answer) for e in between) < 3 * length:
            between[rng.randrange(len(between))] = recall.note(source, min(120, int(length) // len(between) + 5))
            length *= 0.97
    before = [_filler(source)] if rng.random() < 0.2 else []
    if not source.held and rng.random() < 0.25:  # a second thing told, or asked for without having been told
        other = rng.choice([s for s in recall.SLOTS if s != slot])
        if rng.random() < 0.25:
            return assemble(before + [tell] + between + [recall.never_told(source, other)], thinking, "recall")
        _, tell_other, _ = recall.tell_and_ask(source, other)
        between.insert(rng.randint(0, len(between)), tell_other)
    if not source.held and rng.random() < 0.1:
        return assemble(before + between + [tell], thinking, "recall")
    return assemble(before + [tell] + between + [ask], thinking, "recall")


def called(source, thinking, step=None):
    """A request with tools on offer: the call (step 0), or the answer from its result (step 1); at times no tool is needed."""
    rng = source.rng
    chosen, schemas = toolbox.toolset(source)
    step = (0 if rng.random() < 0.65 else 1) if step is None else step
    if not source.held and step == 0 and rng.random() < 0.12:
        exchange = SINGLE[rng.choice(("talk", "facts", "repeat"))](source)
        return assemble([exchange], thinking, exchange.task, tools=schemas)
    request = chosen.request if source.held else vary(source, chosen.request) if rng.random() < 0.3 else chosen.request
    name = chosen.call["name"]
    arguments = ", ".join(f"{k} = {v}" for k, v in chosen.call["arguments"].items())
    call = Turn("assistant", "", f"I call the tool {name} with {arguments}.", call=chosen.call, weight=1.0 if step == 0 else 0.5)
    turns = [Turn("user", request), call]
    check = {"kind": "call", "call": chosen.call}
    if step == 1:
        turns += [Turn("tool", chosen.result), Turn("assistant", chosen.answer, "The tool answered.", weight=1.0)]
        check = {"kind": "exact", "text": chosen.answer}
    before = []
    if rng.random() < 0.15:
        before = _turns(SINGLE[rng.choice(("talk", "facts"))](source), thinking, False)
    return Conversation(before + turns, thinking, tools=schemas, task="tool call" if step == 0 else "tool result", check=check)


def wrapped_up(source, thinking, kind=None):
    """A conversation, then the request for its title, its summary or three follow-ups."""
    rng = source.rng
    kind = kind or rng.choice(("title", "summary", "follow-ups"))
    past = [_filler(source) if rng.random() < 0.8 else recall.tell_and_ask(source)[1] for _ in range(rng.choice((1, 1, 2, 2, 3, 4)))]
    topic = next((e for e in past if e.task not in ("small talk", "note")), past[0])
    if kind == "title":
        user, answer, check = source.pick(TITLE, TITLE_HELD), topic.title, {"kind": "title"}
    elif kind == "summary":
        told = [e.summary for e in past]
        joined = told[0] if len(told) == 1 else ", ".join(told[:-1]) + " and " + told[-1]
        user, answer, check = source.pick(SUMMARY, SUMMARY_HELD), f"You {joined}.", {"kind": "summary"}
    else:
        user, check = source.pick(FOLLOW_UPS, FOLLOW_UPS_HELD), {"kind": "follow-ups"}
        answer = "\n".join(f"{i}. {q}" for i, q in enumerate(topic.follow_ups, 1))
    turns = [t for e in past for t in _turns(e, thinking, False)]
    turns += [Turn("user", user), Turn("assistant", answer, f"This is about: {topic.title}.", weight=1.0)]
    check["about"] = topic.title
    return Conversation(turns, thinking, task=kind, check=check)


def filled(source, text):
    """Words, names and places for {w}, {n} and {p}."""
    while "{" in text:
        at = text.index("{")
        text = text[:at] + {"w": source.word, "n": source.name, "p": source.place}[text[at + 1]]() + text[at + 3:]
    return text


def sample(rng):
    """One training conversation."""
    source = Source(rng)
    kind = rng.choices(list(MIX), list(MIX.values()))[0]
    thinking = rng.random() < 0.5
    if kind == "recall":
        out = recalled(source, thinking, length=rng.choice((0, 0, 0, 0, 0, 0, 0, 0, 150, 300, 600, 1000)) or None)
    elif kind == "tools":
        out = called(source, thinking)
    elif kind == "wrapup":
        out = wrapped_up(source, thinking)
    else:
        out = single(source, kind, thinking, before=rng.choice((0, 0, 0, 0, 0, 0, 1, 1, 2, 3)))
    if rng.random() < 0.1:
        out.system = filled(source, rng.choice(SYSTEMS))
    return out
