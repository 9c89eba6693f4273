"""From the raw results to report.json: what each step found, and what follows from it."""
import re
from collections import OrderedDict

from gpu import outputs
from gpu.peers import same_name
from gpu.questions import QUESTIONS, ask, geometric_mean

GOAL_SHARE, GOAL_LAUNCH = 0.92, 1.2
GOAL_BYTES, GOAL_COLUMNS = 64 << 20, (1024, 16384)
GOAL_OPS = ("layer-norm", "rms-norm")
FORMAT = 1

# Copied from bench's document into the report, under the same names.
FIGURES = ["op", "dtype", "rows", "columns", "regime", "bytes", "choice", "clock", "gbps", "copy_gbps",
           "copy_share", "best_copy", "copy_us", "wall_us_p50", "event_us_p50", "launch_us", "host_ns",
           "batched_us", "batched_launch_us", "unfused_us_p50", "fused_gain", "repetitions"]
SPEED_PARTS = ("speed", "family", "backward", "sweep")


def identity(entry):
    return tuple(entry[key] for key in ("op", "dtype", "rows", "columns"))


def words_of(entry):
    return f"{entry['op']} {entry['rows']}x{entry['columns']} {entry['dtype']}"


def records_of(done, part):
    return [record for record in done if record["part"] == part]


# ---- Results, tests ----


def verify_part(done):
    lines = [line for record in records_of(done, "verify") for line in outputs.read_verify(record)]
    wrong = [outputs.last_words(record) for record in records_of(done, "verify") if record["status"] == 1]
    if not lines:
        return None
    return {"lines": lines, "failed": sum(line["result"] == "FAIL" for line in lines), "said": wrong}


def tests_part(done):
    programs = []
    for record in records_of(done, "tests"):
        found = outputs.read_tap(record)
        programs.append({"name": record["name"].partition(" ")[2], "state": record["state"],
                         "status": record["status"], "passed": len(found["passed"]),
                         "failed": found["failed"], "skipped": len(found["skipped"]),
                         "seconds": record["seconds"]})
    return programs


def test_is_bad(program):
    return bool(program["failed"]) or program["state"] in ("crashed", "hung") or (
        program["state"] == "done" and program["status"] not in (0, 77))


# ---- Speed, and peers ----


def speed_part(done):
    """Each shape once: of one that two parts measured, the first."""
    found, skipped = OrderedDict(), []
    for record in done:
        if record["part"] not in SPEED_PARTS:
            continue
        results, left = outputs.read_bench(record)
        for entry in results:
            row = {key: entry.get(key) for key in FIGURES}
            row.update(part=record["part"], peers={})
            found.setdefault(identity(row) + (row["regime"],), row)
        skipped += [{"what": words_of(entry), "why": entry["reason"]} for entry in left]
    return list(found.values()), skipped


def own_time(row, clock):
    """By the peer's clock, where the device has it."""
    if clock == "event" and row["event_us_p50"] is not None:
        return row["event_us_p50"], "event"
    return row["wall_us_p50"], "wall"


SIZES = {"f32": 4, "f16": 2, "bf16": 2, "f64": 8}


def copy_ratio(copies, rows):
    """A peer's own copy over anynorm's, in GB/s of the same shapes; far from 1, the two were not measured
    in the same state of the device."""
    ours = {identity(row) + (row["regime"],): row["copy_gbps"] for row in rows}
    found = []
    for entry in copies:
        own = ours.get(identity(dict(entry, op="layer-norm")) + (entry["regime"],))
        if own and entry["regime"] == "cold" and entry["rows"] > 1:
            moved = 2 * entry["rows"] * entry["columns"] * SIZES[entry["dtype"]]
            found.append(moved / entry["us"] * 1e-3 / own)
    return geometric_mean(found)


def add_peers(rows, done):
    """Puts into each row how many times as long a peer takes for the same, and returns who they are."""
    found, peers, skipped = {}, [], []
    for record in records_of(done, "peers"):
        head, results, left = outputs.read_peer(record)
        name = record["about"]["peer"]
        if head:
            copies = [entry for entry in results if entry["op"] == "copy"]
            peers.append({"name": name, "version": record["about"].get("version"), "torch": head["torch"],
                          "where": head["where"], "matched": head["matched"], "clock": head["clock"],
                          "pair_us": head["pair_us"], "copies": copies,
                          "copy_ratio": copy_ratio(copies, rows)})
        for entry in results:
            found[name, identity(entry) + (entry["regime"],)] = entry
        skipped += [{"what": f"{name}: {words_of(entry['skipped'])}", "why": entry["why"]} for entry in left]
    for row in rows:
        for peer in peers:
            entry = found.get((peer["name"], identity(row) + (row["regime"],)))
            if entry:
                ours, clock = own_time(row, entry["clock"])
                row["peers"][peer["name"]] = {"us": entry["us"], "clock": entry["clock"],
                                              "own_clock": clock, "ratio": entry["us"] / ours}
    return peers, skipped


# ---- Goals ----


def goal(name, wanted, values, is_met, worst):
    """`values`: (words, figure) of all that the goal is about."""
    if not values:
        return {"name": name, "wanted": wanted, "state": "not measured", "missed": [], "of": 0}
    missed = [{"what": words, "figure": figure} for words, figure in values if not is_met(figure)]
    figures = [figure for _, figure in values]
    return {"name": name, "wanted": wanted, "state": "missed" if missed else "met", "missed": missed,
            "of": len(values), "worst": worst(figures), "mean": geometric_mean(figures)}


def is_of_goals(row):
    return (row["op"] in GOAL_OPS and row["regime"] == "cold" and row["bytes"] >= GOAL_BYTES and
            GOAL_COLUMNS[0] <= row["columns"] <= GOAL_COLUMNS[1])


def goals_of(info, rows):
    """And marks the rows that they are about."""
    for row in rows:
        row["of_goals"] = info["class"] == "gpu" and is_of_goals(row)
    if info["class"] != "gpu":
        return []
    large = [row for row in rows if row["of_goals"]]
    with_torch = [row for row in large if "torch" in row["peers"]]
    launches = [row for row in rows if row["op"] == "layer-norm" and row["regime"] == "warm" and
                (row["rows"], row["columns"]) == (1, 4096) and row["launch_us"]]
    return [
        goal("share of the copy, 1024 to 16384 columns from 64 MiB", f"{GOAL_SHARE} or more",
             [(words_of(row), row["copy_share"]) for row in large], lambda x: x >= GOAL_SHARE, min),
        goal("PyTorch's time over anynorm's, on the same shapes", "above 1",
             [(words_of(row), row["peers"]["torch"]["ratio"]) for row in with_torch], lambda x: x > 1, min),
        goal("1x4096 over an empty launch, with its wait", f"{GOAL_LAUNCH} or less",
             [(words_of(row), row["wall_us_p50"] / row["launch_us"]) for row in launches],
             lambda x: x <= GOAL_LAUNCH, max)]


# ---- Tuning, questions ----


def tune_part(done):
    """Groups of shapes, each with what its runs found, and the lines in which all runs agree."""
    groups = OrderedDict()
    for record in records_of(done, "tune"):
        shapes, lines = outputs.read_tune(record)
        group = groups.setdefault(",".join(record["about"]["shapes"]), [])
        if record["state"] == "done":
            group.append({"shapes": shapes, "lines": lines, "said": outputs.last_words(record)})
    found, contribute = [], []
    for name, runs in groups.items():
        alike = outputs.lines_alike(runs[0]["lines"], runs[1]["lines"]) if len(runs) > 1 else []
        found.append({"name": name, "runs": runs, "alike": alike})
        contribute += alike
    return {"groups": found, "lines": contribute}


def launch_question(rows):
    ones = [row for row in rows if row["op"] == "layer-norm" and row["regime"] == "warm" and
            (row["rows"], row["columns"]) == (1, 4096)]
    answer = "; ".join(
        f"{row['dtype']}: {row['wall_us_p50']:.1f} us, an empty launch {row['launch_us']:.1f} us" +
        (f", in a batch {row['batched_us']:.2f} and {row['batched_launch_us']:.2f} us"
         if row["batched_us"] and row["batched_launch_us"] else "") +
        f", of which the host's call is {row['host_ns'] / 1000:.2f} us" for row in ones)
    far = any(row["wall_us_p50"] > GOAL_LAUNCH * row["launch_us"] for row in ones)
    return {"name": "launch", "ask": "What does one row cost beyond an empty launch?",
            "look": "1x4096, warm, beside the kernel that does nothing: alone, and 100 with one wait.",
            "now": "One work-group, as for any row of its length.",
            "change": "More work-items for a row where there are few rows (lanes_of_group), if it is above "
                      f"{GOAL_LAUNCH} by the device's own time; the enqueue, if by the host's.",
            "changes": far if ones else None, "answer": answer + "." if ones else "Not measured.",
            "cases": []}


def questions_part(done, rows):
    asked = []
    for question in QUESTIONS:
        runs = [(record["about"]["schedule"], *outputs.read_bench(record))
                for record in records_of(done, "questions")
                if question.name in record["about"]["questions"]]
        asked.append(ask(question, runs))
    return asked + [launch_question(rows)]


# ---- Both APIs ----


def same_hardware(a, b, infos):
    """Whether two ids are one chip, and how that is known; None: it is not."""
    if a["id"].split(":")[0] == b["id"].split(":")[0] or a["class"] != b["class"]:
        return None
    if same_name(a["name"], b["name"]):
        return "by name"

    def alone(info):
        return sum(other["id"].split(":")[0] == info["id"].split(":")[0] and
                   other["class"] == info["class"] for other in infos) == 1
    return f"the only {a['class']} of each API" if alone(a) and alone(b) else None


def compare_apis(devices, infos):
    """Of each pair: how many times as fast the first is, past the caches."""
    found = []
    for i, first in enumerate(devices):
        for second in devices[i + 1:]:
            how = same_hardware(first["info"], second["info"], infos)
            speeds = [{identity(row): row["gbps"] for row in device["speed"] if row["regime"] == "cold"}
                      for device in (first, second)]
            ratios = [speeds[0][key] / speeds[1][key] for key in speeds[0] if key in speeds[1]]
            if how and ratios:
                found.append({"first": first["info"]["id"], "second": second["info"]["id"], "how": how,
                              "shapes": len(ratios), "faster": geometric_mean(ratios),
                              "least": min(ratios), "most": max(ratios)})
    return found


# ---- The report ----


def device_report(info, done):
    rows, not_measured = speed_part(done)
    peers, not_compared = add_peers(rows, done)
    return {"info": info, "verify": verify_part(done), "tests": tests_part(done), "speed": rows,
            "peers": peers, "goals": goals_of(info, rows), "tune": tune_part(done),
            "questions": questions_part(done, rows), "skipped": not_measured + not_compared}


def make(context, infos, chosen, records, log, skipped):
    """`records`: those of each chosen device by its id; `log`: every step and how it went; `skipped`:
    what was left out before it was a step."""
    devices = [device_report(info, records.get(info["id"], [])) for info in chosen]
    report = dict(format=FORMAT, **context, goal_share=GOAL_SHARE, devices=devices,
                  apis=compare_apis(devices, infos), steps=log, skipped=list(skipped))
    for device in devices:
        report["skipped"] += [{"what": f"{device['info']['id']}: {entry['what']}", "why": entry["why"]}
                              for entry in device["skipped"]]
    report["skipped"] += [{"what": f"{step['device']}: {step['name']}", "why": step["why"]}
                          for step in log if step["state"] != "done"]
    report["bad"] = faults_of(devices) + [f"{step['device']}: {step['name']}: {step['state']}: {step['why']}"
                                          for step in log if step_is_bad(step)]
    return report


def step_is_bad(step):
    """Tests are told by their programs; and a peer may fail for reasons of its own."""
    wrong = ("crashed", "hung") if step["part"] == "peers" else ("crashed", "hung", "failed")
    return step["state"] in wrong and step["part"] != "tests"


def is_whole(report):
    """Whether nothing was left undone for want of time."""
    return not any(step["state"] in ("stopped", "skipped") for step in report["steps"])


def faults_of(devices):
    """What is wrong, as opposed to slow: one line each."""
    faults = []
    for device in devices:
        name = device["info"]["id"]
        if device["verify"] and device["verify"]["failed"]:
            faults += [f"{name}: verify: {said}" for said in device["verify"]["said"]] or [
                f"{name}: verify: wrong results"]
        for program in device["tests"]:
            if test_is_bad(program):
                what = ", ".join(program["failed"][:3]) or f"{program['state']}, status {program['status']}"
                faults.append(f"{name}: test {program['name']}: {what}")
        for group in device["tune"]["groups"]:
            faults += [f"{name}: tune: {run['said']}" for run in group["runs"]
                       if re.search(r"\bwrong\b", run["said"])]
    return faults


def tuning_lines(report):
    """The file to append to host/choice/tunings."""
    lines = []
    for device in report["devices"]:
        if device["tune"]["lines"]:
            lines += [f"# {device['info']['id']}: {device['info']['name']}, driver "
                      f"{device['info']['driver']}; alike in both runs, {report['made'][:10]}"]
            lines += device["tune"]["lines"]
    return "\n".join(lines) + "\n" if lines else ""
