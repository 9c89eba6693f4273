"""What must be asked of a GPU before the selection can be trusted there: each question with the runs
that decide it, and the answer that would change a choice.

A question forces schedules on shapes and compares their shares of the copy, cold, with that of the
library's own choice in the same part of the run. Two ask for nothing to be forced: they look at what
is measured anyway."""
import math
import re
from collections import OrderedDict
from dataclasses import dataclass, field

from gpu.outputs import ALIKE


@dataclass
class Question:
    name: str
    ask: str
    look: str      # what decides it
    now: str       # what the library does, and where it is written
    change: str    # what would change, and by which answer
    shapes: list = field(default_factory=list)
    schedules: list = field(default_factory=list)
    answer: object = None


@dataclass
class Case:
    """What was measured of one shape and type: candidates as {"asked", "choice", "gbps", "share",
    "clock"}, the library's own under "", and those refused as {"asked", "refused"}."""
    shape: str
    dtype: str
    candidates: list

    def own(self):
        return next((c for c in self.candidates if c["asked"] == "" and "share" in c), None)

    def measured(self):
        return [c for c in self.candidates if "share" in c]

    def best(self):
        return max(self.measured(), key=lambda c: c["share"])


def geometric_mean(values):
    values = [value for value in values if value > 0]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def numbers_of(choice):
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", choice)}


# ---- Answers: a sentence, and whether it would change anything (None: nothing is known) ----


def answer_by_gain(cases):
    """For questions about which of the candidates is the fastest."""
    whole = [case for case in cases if case.own() and len(case.measured()) > 1]
    if not whole:
        return None, "Not measured: fewer than two choices ran on any shape."
    gains = [(case, case.best()["share"] / case.own()["share"]) for case in whole]
    better = [(case, gain) for case, gain in gains if gain >= ALIKE]
    if not better:
        return False, (f"The library's own choice is within 3 % of the best in all {len(whole)} "
                       "cases.")
    winners = OrderedDict()
    for case, gain in better:
        winners.setdefault(case.best()["asked"], []).append(f"{gain:.2f} at {case.shape} {case.dtype}")
    words = "; ".join(f"{asked} gains {', '.join(where)}" for asked, where in winners.items())
    return True, f"Another choice gains 3 % or more in {len(better)} of {len(whole)} cases. {words}."


def bytes_held(choice):
    """Of a row, by one work-item: f32, whatever the storage."""
    numbers = numbers_of(choice)
    if "held" not in numbers or "vector" not in numbers:
        return None
    return 4 * numbers["held"] * numbers["vector"]


def shares_by_bytes(cases):
    """{bytes held: geometric mean of the share over the best of its case}."""
    found = {}
    for case in cases:
        held = [(bytes_held(c["choice"]), c["share"]) for c in case.measured()
                if c["choice"].startswith("row_per_group")]
        best = max((share for _, share in held), default=None)
        for count, share in held:
            if count and best:
                found.setdefault(count, []).append(share / best)
    return OrderedDict((count, geometric_mean(shares)) for count, shares in sorted(found.items()))


def answer_held(cases):
    found = shares_by_bytes(cases)
    if len(found) < 2:
        return None, "Not measured: fewer than two numbers of bytes ran on any shape."
    words = ", ".join(f"{count} bytes {share:.2f}" for count, share in found.items())
    best, most = max(found, key=found.get), max(found)
    if best == most:
        return True, (f"Of the best of each case: {words}. The most that is allowed is the best, so more "
                      "is worth trying.")
    if found[most] * ALIKE < found[best]:
        return True, f"Of the best of each case: {words}. {most} bytes are too many here."
    return False, f"Of the best of each case: {words}. The limit costs nothing."


# 64 MiB of x in f32, so that each is past the caches and none takes long.
GROUP_SHAPES = ["16384x1024", "8192x2048", "4096x4096", "2048x8192"]
LONG_SHAPES = ["2048x8192", "1024x16384", "512x32768"]
SHORT_SHAPES = ["131072x128", "21845x768", "16384x1024"]
SPLIT_SHAPES = ["16x1048576", "4x1048576", "8x65536"]

QUESTIONS = [
    Question(
        "group", "How many work-items share a row that a work-group holds?",
        "row_per_group with each group, forced, beside the library's own choice.",
        "256, and more only where each would hold too much (lanes_of_group, host/choice/fit_held.c).",
        "USUAL_GROUP or USUAL_SHARE, where one other group gains 3 % or more in most cases; a line of "
        "host/choice/tunings, where only in some.",
        GROUP_SHAPES, [f"row_per_group group={n}" for n in (64, 128, 256, 512)], answer_by_gain),
    Question(
        "held", "How many bytes of a row may a work-item hold before too few groups run side by side?",
        "The same runs, by the bytes that each work-item holds.",
        "128, and 48 in sub-groups of 16 (HELD_BYTES, HELD_BYTES_OF_16, host/choice/fit_held.c).",
        "These numbers: down where the most is more than 3 % slower than the best, up (and measured "
        "again) where the most is the best.",
        GROUP_SHAPES, [f"row_per_group group={n}" for n in (64, 128, 256, 512)], answer_held),
    Question(
        "reread", "From how many columns on is a row read twice rather than kept on chip?",
        "row_per_group, row_in_local, row_reread and row_split on long rows.",
        "Where registers do not hold a row, local memory does; row_split where that does not either "
        "(of_gpu, host/choice/select.c).",
        "The order of_gpu, or MOST_LANES (host/choice/fit_held.c): where reading twice beats local memory.",
        LONG_SHAPES, ["row_per_group", "row_in_local", "row_reread", "row_split"], answer_by_gain),
    Question(
        "rows", "How many short rows does a work-group take?",
        "row_per_subgroup with each number of rows, and a group for each row.",
        "As many as fill 128 work-items, a lane for 8 elements (GROUP_OF_ROWS, SHORT_SHARE, "
        "host/choice/fit_held.c).",
        "These numbers, where one other number of rows gains 3 % or more in most cases.",
        SHORT_SHAPES, [f"row_per_subgroup rows={n}" for n in (2, 4, 8, 16)] +
        ["row_per_group rows=1", "row_per_group rows=4"], answer_by_gain),
    Question(
        "subgroup", "Up to how many columns has a sub-group a row to itself?",
        "row_per_subgroup against row_per_group where the one hands over to the other.",
        "As long as its lanes hold the row (of_gpu, host/choice/select.c).",
        "A limit on columns in an_fit_row_per_subgroup, where row_per_group gains 3 % or more.",
        GROUP_SHAPES[:2], ["row_per_subgroup", "row_per_group"], answer_by_gain),
    Question(
        "split", "Into how many pieces are few long rows cut?",
        "row_split with each length of its segments, and row_reread, which cuts nothing.",
        "128 segments, of 8192 elements at least (LEAST_SEGMENT_OF_GROUP, host/choice/fit.c).",
        "That number, where another gains 3 % or more in most cases.",
        SPLIT_SHAPES, [f"row_split segment={n}" for n in (8192, 16384, 32768, 65536)] +
        ["row_reread"], answer_by_gain),
]

# Of a run without --full: enough to see an answer, few enough to be done.
QUICK_SHAPES = 3


def shapes_of(question, quick):
    return question.shapes[:QUICK_SHAPES] if quick else question.shapes


def cases_of(question, runs):
    """`runs`: (what was forced, results of bench, skipped of bench) of the question's steps."""
    cases = OrderedDict()

    def candidates(entry):
        key = (f"{entry['rows']}x{entry['columns']}", entry["dtype"])
        return cases.setdefault(key, Case(key[0], key[1], [])).candidates
    for asked, results, skipped in runs:
        for entry in results:
            candidates(entry).append({"asked": asked, "choice": entry["choice"], "gbps": entry["gbps"],
                                      "share": entry["copy_share"], "clock": entry["clock"]})
        for entry in skipped:
            candidates(entry).append({"asked": asked, "refused": entry["reason"]})
    return list(cases.values())


def ask(question, runs):
    """A question with its answer, as the report has it."""
    cases = cases_of(question, runs)
    changes, answer = question.answer(cases)
    return {"name": question.name, "ask": question.ask, "look": question.look, "now": question.now,
            "change": question.change, "changes": changes, "answer": answer,
            "cases": [{"shape": case.shape, "dtype": case.dtype, "candidates": case.candidates}
                      for case in cases]}
