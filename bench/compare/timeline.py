"""Who asks when, when each token of an answer came, and what those who asked felt of it."""
import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Ask:
    """One asks once `at` seconds have gone by, all background ones before it have written `after` tokens and, if
    `ended`, all others before it are answered. Background ones are cut off as soon as all others are answered."""
    prompt: int  # tokens
    most: int  # tokens of the answer
    at: float = 0.0
    after: int = 0
    ended: bool = False
    background: bool = False


@dataclasses.dataclass
class Answer:
    """Times are in seconds from the test's start. Events are (time, tokens): what came at once, and how much it was."""
    asked: float
    end: float
    events: list[tuple[float, float]]
    prompt: int | None = None  # tokens, as the server counts them
    cached: int | None = None

    @property
    def first(self) -> float:
        return self.events[0][0]

    @property
    def last(self) -> float:
        return self.events[-1][0]

    @property
    def wait(self) -> float:
        """Until its first token."""
        return self.first - self.asked

    @property
    def tokens(self) -> float:
        return sum(count for _, count in self.events)

    def gaps(self, begin: float = 0.0, end: float = float("inf")) -> list[float]:
        """Between its tokens, where they overlap that time."""
        times = [time for time, _ in self.events]
        return [later - earlier for earlier, later in zip(times, times[1:]) if later > begin and earlier < end]


def rate(answers: list[Answer], begin: float, end: float) -> float:
    """Tokens a second in that time, of all together."""
    return sum(count for a in answers for time, count in a.events if begin < time <= end) / (end - begin)


def rate_of_all(answers: list[Answer], least: float) -> float | None:
    """Tokens a second while everybody writes; None if that is for less than `least` seconds."""
    begin = max(a.first for a in answers)
    end = min(a.last for a in answers)
    return rate(answers, begin, end) if end - begin >= least else None


def crowd(answers: list[Answer]) -> dict[str, float | None]:
    begin = min(a.asked for a in answers)
    total = max(a.last for a in answers) - begin
    return {"total": total, "tokens_per_second": sum(a.tokens for a in answers) / total,
            "tokens_per_second_of_all": rate_of_all(answers, least=1),
            "wait": statistics.median(a.wait for a in answers), "longest_wait": max(a.wait for a in answers),
            "longest_gap": max(gap for a in answers for gap in a.gaps())}


def joined(answers: list[Answer], asks: list[Ask]) -> dict[str, float | None]:
    """What background writers and those who join them feel of each other. A prompt is read from asking to the first
    token."""
    writers = [a for a, ask in zip(answers, asks) if ask.background]
    others = [a for a, ask in zip(answers, asks) if not ask.background]
    measures: dict[str, float | None] = {"wait": statistics.median(a.wait for a in others)}
    if len(others) > 1:
        measures["longest_wait"] = max(a.wait for a in others)
    else:
        measures["prompt_tokens_per_second"] = next(ask.prompt for ask in asks if not ask.background) / others[0].wait
    if writers:
        stalls = [gap for w in writers for o in others for gap in w.gaps(o.asked, o.first)]
        usual = [gap for w in writers for gap in w.gaps(max(a.first for a in writers), others[0].asked)]
        measures |= {"stall": max(stalls, default=None), "usual_gap": statistics.median(usual) if usual else None,
                     "tokens_per_second_meanwhile": statistics.median(rate(writers, o.asked, o.first) for o in others)}
    return measures
