"""Conversations by the hundred, the same ones every time: what a chat template may be given."""
import random

WORDS = ["hello", "what", "is", "it's", '"quoted"', "naïve", "日本語", "🤖👩‍👩‍👧", "<|im_end|>", "<think>", "</think>", "{{ x }}", "{% if %}",
         "\\n", "\n", "\n\n", "\t", "tab", "/think", "/no_think", "/system_override", "' OR 1=1", "é\u0301", "\u200b", "\u00a0",
         "\x07", "\u2028", "ẞß", "مرحبا", "a\\b", "&<>", "x" * 50, "", " "]
NAMES = ["get_weather", "sum", "naïve-名", "a.b", "it's", 'say "hi"']


def text(r, least=0, most=8):
    return r.choice(["", " ", "\n"]).join(r.choice(WORDS) for _ in range(r.randint(least, most))) if r.random() < 0.3 \
        else " ".join(r.choice(WORDS) for _ in range(r.randint(least, most)))


def json_value(r, depth=0):
    kind = r.randrange(10 if depth < 3 else 7)
    if kind == 0:
        return None
    if kind == 1:
        return r.random() < 0.5
    if kind == 2:
        return r.choice([0, 1, -1, 42, -7, 2**31, -2**53, 2**63 - 1, 10**18, r.randint(-1000, 1000)])
    if kind == 3:
        return r.choice([0.0, -0.0, 1.0, 0.1, 1e16, 1e15, 1.5e300, 1e-5, 0.0001, 123456789.123, 5e-324, r.uniform(-10, 10),
                         r.uniform(-1, 1) * 10 ** r.randint(-20, 20)])
    if kind < 7:
        return text(r, 0, 3)
    if kind == 7:
        return [json_value(r, depth + 1) for _ in range(r.randrange(4))]
    return {text(r, 1, 2): json_value(r, depth + 1) for _ in range(r.randrange(4))}


def tool(r):
    properties = {r.choice(["city", "unit", "n", "naïve", "it's"]): {"type": r.choice(["string", "number"]),
                                                                     "description": text(r, 1, 4),
                                                                     **({"default": json_value(r)} if r.random() < 0.3 else {}),
                                                                     **({"enum": [json_value(r, 3) for _ in range(2)]}
                                                                        if r.random() < 0.3 else {})}
                  for _ in range(r.randrange(3))}
    function = {"name": r.choice(NAMES), "description": text(r, 0, 5),
                "parameters": {"type": "object", "properties": properties, "required": sorted(properties)}}
    return {"type": "function", "function": function} if r.random() < 0.7 else function


def messages(r):
    out = []
    if r.random() < 0.6:
        system = text(r, 0, 6)
        for word in ["/no_think", "/think", "/system_override"]:
            if r.random() < 0.25:
                at = r.randint(0, len(system))
                system = system[:at] + word + system[at:]
        out.append({"role": "system", "content": system + r.choice(["", " ", "\n"])})
    for _ in range(r.randint(1, 5)):
        out.append({"role": "user", "content": text(r)})
        if r.random() < 0.2:
            arguments = {r.choice(["city", "n", "naïve"]): json_value(r) for _ in range(r.randrange(3))}
            out.append({"role": "assistant", "content": r.choice(["", "\n\nLet me look.", text(r)]),
                        "tool_calls": [{"id": "c1", "type": "function",
                                        "function": {"name": r.choice(NAMES), "arguments": arguments}}]})
            out.append({"role": "tool", "content": text(r), "tool_call_id": "c1"})
        if r.random() < 0.8:
            out.append({"role": "assistant", "content": r.choice(["", "\n", "<think>\nhm\n</think>\n"]) + text(r)})
    if r.random() < 0.5:
        out.append({"role": "user", "content": text(r)})
    if r.random() < 0.1:
        r.choice(out)["content"] = r.choice([None, 3, True, ["part"], {"type": "text"}])
    if out[0]["role"] == "system" and not isinstance(out[0]["content"], str):
        out[0]["content"] = ""
    return out


def generate(count, seed=7):
    r = random.Random(seed)
    for _ in range(count):
        context = {"messages": messages(r), "add_generation_prompt": r.random() < 0.8}
        if r.random() < 0.7:
            context["enable_thinking"] = r.random() < 0.5
        tools = [tool(r) for _ in range(r.randint(1, 3))] if r.random() < 0.4 else None
        context["tools"] = tools
        if tools:
            context["xml_tools"] = tools
        if r.random() < 0.15:
            context["python_tools"] = [tool(r) if r.random() < 0.5 else text(r, 1, 5) for _ in range(r.randint(1, 2))]
        yield context
