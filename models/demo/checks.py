"""Judges an answer by the check that its test case names."""
import json
import re


def judge(check, content, call=None):
    """`content`: the answer's text without thought; `call`: {"name", "arguments"} of its first tool call, if any."""
    return CHECKS[check["kind"]](check, content.strip(), call)


def exact(check, content, call):
    return content == check["text"].strip()


def last_line(check, content, call):
    return content.split("\n")[-1] == check["text"].strip()


def contains(check, content, call):
    return all(re.search(r"(?<!\w)" + re.escape(w) + r"(?!\w)", content) for w in check["words"])


def number(check, content, call):
    """The last number of the answer is the result."""
    found = re.findall(r"(?<![\d\w])-?\d+", content)
    return bool(found) and found[-1] == check["value"]


def tool_call(check, content, call):
    if not call or call["name"] != check["call"]["name"]:
        return False
    arguments = call["arguments"]
    try:
        return (json.loads(arguments) if isinstance(arguments, str) else arguments) == check["call"]["arguments"]
    except json.JSONDecodeError:
        return False


def markdown_list(check, content, call):
    return [re.sub(r"^(- |\d+\. )", "", line) for line in content.split("\n")] == check["items"] and \
        all(re.match(r"- |\d+\. ", line) for line in content.split("\n"))


def table(check, content, call):
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in content.split("\n") if line.startswith("|")]
    return len(lines) > 2 and all(set(cell) <= set("-: ") for cell in lines[1]) and lines[2:] == check["rows"]


def code(check, content, call):
    found = re.search(r"```\w*\n(.*?)\n```", content, re.S)
    return bool(found) and found[1] == check["body"]


def title(check, content, call):
    """One line of one to eight words that is no sentence."""
    return "\n" not in content and 1 <= len(content.split()) <= 8 and content[-1] not in ".!?"


def summary(check, content, call):
    """One sentence about what the user did."""
    return "\n" not in content and content.startswith("You ") and content.endswith(".")


def follow_ups(check, content, call):
    """Three different numbered lines."""
    lines = content.split("\n")
    return len(lines) == 3 and len({line[3:] for line in lines}) == 3 and \
        all(re.match(rf"{i}\. \S", line) for i, line in enumerate(lines, 1))


CHECKS = {"exact": exact, "last line": last_line, "contains": contains, "number": number,
          "call": tool_call, "list": markdown_list, "table": table, "code": code,
          "title": title, "summary": summary, "follow-ups": follow_ups}
