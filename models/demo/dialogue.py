"""Conversations: exchanges put together, with or without thinking, tools and a wrap-up at the end."""
from chat import Conversation, Turn
from exchange import Exchange, requested, vary
from markdown import markdown
import recall
import sums
import talk
import toolbox
import wordplay
from words import Source

TITLE = ["Give this conversation a short title.", "Write a short title for this conversation.", "What is a good title for this conversation?",
         "Title this conversation.", "Find a title for our conversation.", "Name this conversation.", "Give me a title for this chat."] + \
    requested("find a title for this chat", "title this chat", "name our conversation", "make a title", "suggest a title for this conversation",
          "give our chat a name", "think of a title for this", "give this talk a title")
TITLE_HELD = ["Could you give this conversation a title?", "Please write a title for this chat."]
SUMMARY = ["Summarize this conversation in one sentence.", "Summarize this conversation.", "Give me a summary of this conversation.",
           "What did we talk about?", "Write a short summary of this chat.", "Sum up our conversation.", "Summarise our conversation."] + \
    requested("summarize our talk", "sum up this chat", "write a summary", "summarise our chat", "give me a short summary of this chat",
          "say what we talked about", "recap this conversation", "make a summary of this")
SUMMARY_HELD = ["Could you summarize this chat?", "Please write a summary of our conversation."]
FOLLOW_UPS = ["Suggest three follow-up questions.", "Propose three follow-up questions.", "What could I ask next? Give me three questions.",
              "Give me three follow-up questions.", "Suggest three questions that I could ask next.", "Three follow-ups, please."] + \
    requested("suggest three more questions", "give me three questions to ask next", "propose three questions to follow",
          "write three follow-up questions", "list three follow-ups", "find three questions for me", "tell me three things I could ask")
FOLLOW_UPS_HELD = ["Could you suggest three follow-up questions?", "Please propose three questions that I could ask."]
SYSTEMS = ["You are a helpful assistant.", "You are a helpful AI assistant.", "Be brief.", "Answer in English.", "You are a friendly assistant.",
           "Keep your answers short.", "Be polite.", "You are an assistant in a terminal.", "You are a {w}.", "Talk like a {w}.",
           "You are {n}, a {w} from {p}.", "You help people with their {w} and {w}. Be {w}.", "The user is called {n} and likes {w}.",
           "Answer every question about {w}. Never talk about {w} or {w}.", "You are a {w} assistant for the {w} company {n}."]

WHICH_TOOL = ["Which tool is for the {}?", "What is the tool for the {}?", "Which tool would you use for the {}?", "Which of your tools is about the {}?",
              "the tool for the {}?", "Name the tool for the {}.", "I need the tool for the {}", "Which one is for the {}?", "tool for {}"]

SINGLE = {"facts": talk.fact, "sums": sums.sum_or_difference, "repeat": wordplay.repeat, "reverse": wordplay.reverse, "count": wordplay.count,
          "talk": talk.small_talk, "unknown": talk.unknown, "markdown": markdown}
THINKING = 0.45  # share of conversations under /think
# share of the samples whose last answer is of this kind
MIX = {"facts": 12, "sums": 14, "repeat": 9, "reverse": 11, "count": 3, "talk": 8, "unknown": 3, "markdown": 8, "recall": 10, "tools": 34,
       "wrapup": 6}
FILLERS = ["facts", "facts", "sums", "repeat", "talk", "talk", "unknown", "markdown", "count", "note"]


def _filler(source, note_length=0):
    kind = source.rng.choice(FILLERS)
    if kind == "note" or note_length:
        return recall.note(source, note_length or source.rng.randint(5, 40))
    return SINGLE[kind](source)


def _turns(exchange, thinking, last):
    """User and assistant turn. Under /think a past answer that needs its thought is not learnt from: it is not shown."""
    answer = exchange.answer if thinking or not exchange.unthought else exchange.unthought
    weight = 1.0 if last or not thinking else 0.5 if exchange.direct else 0.0
    return [Turn("user", exchange.user), Turn("assistant", answer, exchange.thought, weight=weight)]


def assemble(exchanges, thinking, task, **options):
    turns = []
    for i, e in enumerate(exchanges):
        turns += _turns(e, thinking, i == len(exchanges) - 1)
    check = exchanges[-1].check or {"kind": "exact", "text": turns[-1].content}
    return Conversation(turns, thinking, task=task, check=check, **options)


def single(source, kind, thinking, before=()):
    """An exchange of a kind, after exchanges of the kinds `before`."""
    exchange = SINGLE[kind](source)
    return assemble([SINGLE[k](source) for k in before] + [exchange], thinking, exchange.task)


def recalled(source, thinking, turns=None, length=None):
    """Something told, `turns` exchanges of anything, of about `length` tokens or as they come, then the question for it."""
    rng = source.rng
    slot, tell, ask = recall.tell_and_ask(source)
    turns = rng.choice((0, 1, 1, 1, 2, 2, 3, 4, 5, 6, 7)) if turns is None else turns
    between = [_filler(source) for _ in range(turns)]
    if length:
        while between and sum(len(e.user) + len(e.answer) for e in between) < 3 * length:
            between[rng.randrange(len(between))] = recall.note(source, min(120, int(length) // len(between) + 5))
            length *= 0.97
    if source.held:
        return assemble([tell] + between + [ask], thinking, "recall")
    asked = [ask]
    told = [slot]
    for other in rng.sample(sorted(recall.SLOTS), rng.choice((0, 1, 1, 2, 3, 4) if turns > 3 else (0, 0, 1, 1, 2))):  # more things told and asked for
        if other not in told:
            told.append(other)
            _, tell_other, ask_other = recall.tell_and_ask(source, other)
            between.insert(rng.randint(0, len(between)), tell_other)
            asked.append(ask_other)
    rng.shuffle(asked)
    if len(told) < len(recall.SLOTS) and rng.random() < 0.12:
        missing = rng.choice([s for s in recall.SLOTS if s not in told])
        asked.append(recall.never_told(source, missing))
    before = [_filler(source)] if rng.random() < 0.2 else []
    if rng.random() < 0.1:
        return assemble(before + [tell], thinking, "recall")
    return assemble(before + [tell] + between + asked, thinking, "recall")


def _call_turns(source, task, thinking, answered, last):
    """The request and the call; with `answered` also the tool's result and what the model says about it."""
    weight = 1.0 if not thinking or last and not answered else 0.5
    request = vary(source, task.request) if source.rng.random() < 0.3 else task.request
    needed = [str(v) for v in task.call["arguments"].values()] + [task.about] * (task.about in task.request)
    if any(word not in request for word in needed):  # lower case or a typing error has changed what is to be found or copied
        request = task.request
    found = _found(task)
    turns = [Turn("user", request), Turn("assistant", "" if thinking else found, found, call=task.call, weight=weight)]
    if answered:
        turns += [Turn("tool", task.result), Turn("assistant", task.answer, "The tool answered.", weight=1.0)]
    return turns


def _found(task):
    return f"The tool for the {task.about} is {task.call['name']}."


def _which_tool(source, task):
    """A question for the tool by the word that its request would have."""
    wording = vary(source, source.rng.choice(WHICH_TOOL).replace("{}", "0")).replace("0", task.about)
    return Exchange(wording, _found(task), _found(task), "which tool")


def called(source, thinking, step=None):
    """Requests with tools on offer: calls, and answers from results (the last turn is a call at step 0, an answer at step 1)."""
    rng = source.rng
    tasks = toolbox.toolset(source)
    schemas = [t.schema for t in tasks]
    rng.shuffle(schemas)
    if not source.held and rng.random() < 0.08:
        exchange = SINGLE[rng.choice(("talk", "facts", "repeat"))](source)
        return assemble([exchange], thinking, exchange.task, tools=schemas)
    answered = rng.random() < 0.4 if step is None else step == 1
    turns, last = [], tasks[0]
    if not source.held and len(tasks) > 1 and rng.random() < 0.4:  # choosing, and nothing else
        for t in rng.sample(tasks, rng.randint(1, len(tasks))):
            turns += _turns(_which_tool(source, t), thinking, False)
    if not source.held and (not thinking or rng.random() < 0.15):
        for t in tasks[1:]:
            turns += _call_turns(source, t, thinking, True, False)
            if rng.random() < 0.15:
                turns += _turns(SINGLE[rng.choice(("talk", "facts"))](source), thinking, False)
    turns += _call_turns(source, last, thinking, answered, True)
    check = {"kind": "exact", "text": last.answer} if answered else {"kind": "call", "call": last.call}
    return Conversation(turns, thinking, tools=schemas, task="tool result" if answered else "tool call", check=check)


def _wrap_up(source, kind, past, topic):
    """(request, answer) for the title, the summary or the follow-ups of a conversation."""
    if kind == "title":
        return source.pick(TITLE, TITLE_HELD), topic.title
    if kind == "summary":
        told = [e.summary for e in past]
        joined = told[0] if len(told) == 1 else ", ".join(told[:-1]) + " and " + told[-1]
        return source.pick(SUMMARY, SUMMARY_HELD), f"You {joined}."
    return source.pick(FOLLOW_UPS, FOLLOW_UPS_HELD), "\n".join(f"{i}. {q}" for i, q in enumerate(topic.follow_ups, 1))


def wrapped_up(source, thinking, kind=None):
    """A conversation, then the request for its title, its summary or three follow-ups."""
    rng = source.rng
    kinds = [kind] if kind else rng.sample(("title", "summary", "follow-ups"), 1 if thinking else rng.randint(1, 3))
    past = [_filler(source) if rng.random() < 0.8 else recall.tell_and_ask(source)[1] for _ in range(rng.choice((1, 1, 2, 2, 3, 4)))]
    topic = next((e for e in past if e.task not in ("small talk", "note")), past[0])
    turns = [t for e in past for t in _turns(e, thinking, False)]
    for k in kinds:
        user, answer = _wrap_up(source, k, past, topic)
        thought = {"title": "A title for this:", "summary": "A summary of this:", "follow-ups": "Three questions after this:"}[k]
        turns += [Turn("user", user), Turn("assistant", answer, f"{thought} {topic.title}.", weight=1.0)]
    return Conversation(turns, thinking, task=kinds[-1], check={"kind": kinds[-1], "about": topic.title})


def filled(source, text):
    """Words, names and places for {w}, {n} and {p}."""
    while "{" in text:
        at = text.index("{")
        text = text[:at] + {"w": source.word, "n": source.name, "p": source.place}[text[at + 1]]() + text[at + 3:]
    return text


def sample(rng, pieces=()):
    """One training conversation. Under /no_think every answer in it is learnt from, so those have more exchanges."""
    source = Source(rng, pieces=pieces)
    kind = rng.choices(list(MIX), list(MIX.values()))[0]
    thinking = rng.random() < THINKING
    if kind == "recall":
        out = recalled(source, thinking, length=rng.choice((0,) * 6 + (150, 300, 600, 900, 1000)) or None)
    elif kind == "tools":
        out = called(source, thinking)
    elif kind == "wrapup":
        out = wrapped_up(source, thinking)
    else:
        count = rng.choice((0, 0, 0, 0, 0, 1, 2) if thinking else (0, 0, 1, 2, 3, 3))
        before = rng.choices(list(SINGLE), [MIX[k] for k in SINGLE], k=count)
        if kind == "facts" and not thinking:  # many facts in a row: the most that can be learnt from a token
            before += ["facts"] * rng.randint(0, 4)
        out = single(source, kind, thinking, before)
    if rng.random() < 0.1:
        out.system = filled(source, rng.choice(SYSTEMS))
    return out
