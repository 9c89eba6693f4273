"""report.json as one page of HTML: nothing is loaded, nothing runs, all text is escaped."""
import html
import math

SERIES = [("f32", "a"), ("f16", "b"), ("bf16", "c"), ("f64", "d")]
CLOCKS = {"event": "the device’s own", "wall": "wall time, launch included"}

STYLE = """
:root{color-scheme:light dark;--ink:#1c2128;--soft:#57606a;--line:#d5dae1;--paper:#fff;--panel:#f5f7f9;
--good:#14713a;--bad:#b3261e;--none:#7a5b00;--a:#1f6feb;--b:#c2410c;--c:#0f766e;--d:#7c3aed;--roof:#8b949e}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#9aa4b0;--line:#353c46;--paper:#14181d;--panel:#1c2229;
--good:#5ac47f;--bad:#ff8a80;--none:#e0b84c;--a:#6cb0ff;--b:#ff9d66;--c:#4fd1c0;--d:#b69cff;--roof:#8b949e}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:68rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}h2{font-size:1.25rem;margin:2.5rem 0 .5rem;padding-top:.75rem;
border-top:2px solid var(--line)}h3{font-size:1.05rem;margin:1.75rem 0 .4rem}h4{font-size:1rem;margin:1.25rem 0 .2rem}
h1,h2,h3,h4,p,li,dd{overflow-wrap:anywhere}
p{margin:.4rem 0;max-width:46rem}.soft{color:var(--soft)}small{color:var(--soft)}
.scroll{overflow-x:auto;margin:.5rem 0;border:1px solid var(--line);border-radius:6px}
table{border-collapse:collapse;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .6rem;text-align:left;white-space:nowrap;border-bottom:1px solid var(--line)}
td.wide{white-space:normal;min-width:16rem}tr:last-child td{border-bottom:0}
td.group{background:var(--panel);font-weight:600}
th{background:var(--panel);font-weight:600;position:sticky;top:0}.n{text-align:right}
.good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}.none{color:var(--none)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.6rem;margin:.75rem 0}
.card{border:1px solid var(--line);border-radius:8px;background:var(--panel);padding:.6rem .8rem}
.card b{display:block;font-size:1.5rem;line-height:1.3}.card div{font-size:.85rem;color:var(--soft)}
details{margin:.6rem 0}summary{cursor:pointer;padding:.35rem 0;font-weight:600}
pre{overflow-x:auto;background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:.6rem;font-size:.8rem}
code{font-size:.9em}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;font-size:.9rem;margin:.5rem 0}dt{color:var(--soft)}
dd{margin:0}.q{border-left:3px solid var(--line);padding-left:.9rem;margin:1.25rem 0}
nav{font-size:.95rem}nav a{margin-right:1rem}a{color:var(--a)}
svg{display:block;min-width:38rem;width:100%;height:auto}svg text{fill:var(--soft);font-size:12px}
.grid{stroke:var(--line);stroke-width:1}.roof{fill:none;stroke:var(--roof);stroke-width:2;stroke-dasharray:6 4}
.a{fill:var(--a)}.b{fill:var(--b)}.c{fill:var(--c)}.d{fill:var(--d)}
@media(max-width:30rem){main{padding:.75rem}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.4rem}}
"""


# ---- Pieces ----


def esc(value):
    return html.escape(str(value), quote=True)


def num(value, digits=2):
    """A figure, or a dash."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}"


def us(value):
    return num(value, 2 if value is not None and value < 100 else 0)


def size(value):
    """Bytes."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"
        value /= 1024


def mark(good, text):
    return f'<span class="{"none" if good is None else "good" if good else "bad"}">{esc(text)}</span>'


def table(heads, rows):
    """`heads`: names, those of figures begin with '#', those of long texts with '~'. Rows: cells, each a
    text, escaped, or (markup,); or one text, which stands above those that follow."""
    if not rows:
        return ""
    kinds = [' class="n"' if head.startswith("#") else ' class="wide"' if head.startswith("~") else ""
             for head in heads]
    names = [head.lstrip("#~") for head in heads]
    parts = ['<div class="scroll" tabindex="0"><table><thead><tr>']
    parts += [f"<th{kind}>{esc(name)}</th>" for kind, name in zip(kinds, names)]
    parts.append("</tr></thead><tbody>")
    for row in rows:
        if isinstance(row, str):
            parts.append(f'<tr><td class="group" colspan="{len(heads)}">{esc(row)}</td></tr>')
            continue
        cells = [cell[0] if isinstance(cell, tuple) else esc(cell) for cell in row]
        parts.append("<tr>" + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, cells)) + "</tr>")
    parts.append("</tbody></table></div>")
    return "".join(parts)


def folded(summary, content):
    return f"<details><summary>{esc(summary)}</summary>{content}</details>" if content else ""


def pairs(items):
    return "<dl>" + "".join(f"<dt>{esc(name)}</dt><dd>{esc(value)}</dd>" for name, value in items) + "</dl>"


# ---- The roof ----


def roofline(rows):
    """GB/s by the bytes of the tensors, past the caches; the best copy of as many is the roof."""
    points = [row for row in rows if row["regime"] == "cold" and row["gbps"]]
    if len(points) < 2:
        return ""
    wide, high, left, bottom, top = 720, 340, 56, 40, 16
    exponents = [math.log2(row["bytes"]) for row in points]
    low, last = math.floor(min(exponents)), math.ceil(max(exponents))
    last = max(last, low + 1)
    most = 1.08 * max(max(row["gbps"], row["copy_gbps"]) for row in points)

    def x(count):
        return left + (math.log2(count) - low) / (last - low) * (wide - left - 12)

    def y(gbps):
        return high - bottom - gbps / most * (high - bottom - top)
    parts = [f'<div class="scroll" tabindex="0"><svg viewBox="0 0 {wide} {high}" role="img" '
             'aria-label="GB/s of each shape by its bytes, below the copy of as many bytes">']
    for exponent in range(low, last + 1, max(1, (last - low) // 8)):
        at = x(2**exponent)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{high - bottom}"/>'
                     f'<text x="{at:.1f}" y="{high - 22}" text-anchor="middle">{size(2**exponent)}</text>')
    for value in ticks(most):
        parts.append(f'<line class="grid" x1="{left}" x2="{wide - 12}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
                     f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    parts.append(f'<polyline class="roof" points="{roof_points(points, x, y)}"/>')
    for row in points:
        kind = dict(SERIES).get(row["dtype"], "d")
        words = (f"{row['op']} {row['rows']}x{row['columns']} {row['dtype']}: {num(row['gbps'], 1)} GB/s, "
                 f"{num(row['copy_share'])} of the copy")
        parts.append(f'<circle class="{kind}" cx="{x(row["bytes"]):.1f}" cy="{y(row["gbps"]):.1f}" r="4">'
                     f"<title>{esc(words)}</title></circle>")
    parts.append(f'<text x="{left}" y="{high - 4}">bytes of all tensors; GB/s upwards; dashed: the copy</text>')
    for k, kind in enumerate([kind for kind in SERIES if any(row["dtype"] == kind[0] for row in points)]):
        parts.append(f'<circle class="{kind[1]}" cx="{wide - 190 + 62 * k}" cy="{high - 8}" r="4"/>'
                     f'<text x="{wide - 182 + 62 * k}" y="{high - 4}">{esc(kind[0])}</text>')
    return "".join(parts) + "</svg></div>"


def ticks(most):
    """Round numbers up to the most, four to eight of them."""
    step = 10 ** math.floor(math.log10(most))
    step = next(step / k for k in (1, 2, 5, 10) if most // (step / k) >= 4)
    return [step * k for k in range(int(most / step) + 1)]


def roof_points(rows, x, y):
    """The best copy within each doubling of bytes."""
    best = {}
    for row in rows:
        place = math.floor(math.log2(row["bytes"]))
        if place not in best or row["copy_gbps"] > best[place]["copy_gbps"]:
            best[place] = row
    return " ".join(f'{x(best[place]["bytes"]):.1f},{y(best[place]["copy_gbps"]):.1f}' for place in sorted(best))


# ---- A device ----


def card(title, figure, verdict, more):
    return (f'<div class="card"><div>{esc(title)}</div><b>{esc(figure)}</b>{verdict}'
            f"<div>{esc(more)}</div></div>")


def goal_cards(device):
    cards = []
    for goal in device["goals"]:
        good = {"met": True, "missed": False}.get(goal["state"])
        more = (f"mean of {goal['of']}, worst {num(goal['worst'])}, {len(goal['missed'])} miss it"
                if goal["of"] else "no shape ran")
        cards.append(card(goal["name"], num(goal.get("mean")), mark(good, goal["state"]),
                          f"{more}; wanted: {goal['wanted']}"))
    verify = device["verify"]
    if verify:
        passed = sum(line["result"] == "pass" for line in verify["lines"])
        cards.append(card("verify: schedules and types", f"{passed} pass",
                          mark(not verify["failed"], f"{verify['failed']} fail"), ""))
    if device["tests"]:
        failed = sum(len(program["failed"]) for program in device["tests"])
        passed = sum(program["passed"] for program in device["tests"])
        skipped = sum(program["skipped"] for program in device["tests"])
        cards.append(card("device tests, short form", f"{passed} passed",
                          mark(failed == 0 if passed + failed else None, f"{failed} failed"), f"{skipped} skipped"))
    return f'<div class="cards">{"".join(cards)}</div>' if cards else ""


def missed_goals(device):
    rows = [(goal["name"], miss["what"], num(miss["figure"]), goal["wanted"])
            for goal in device["goals"] for miss in goal["missed"]]
    return folded(f"Where a goal is missed: {len(rows)}", table(["goal", "shape", "#figure", "wanted"], rows))


def used_time(row):
    return row["event_us_p50"] if row["clock"] == "event" else row["wall_us_p50"]


def speed_rows(rows, peers):
    for row in rows:
        ratios = [num(row["peers"][peer["name"]]["ratio"]) if peer["name"] in row["peers"] else "–"
                  for peer in peers]
        yield (row["op"], row["dtype"], f"{row['rows']} x {row['columns']}", size(row["bytes"]), row["regime"],
               us(used_time(row)), num(row["gbps"], 1), num(row["copy_gbps"], 1), num(row["copy_share"]), *ratios,
               us(row["launch_us"]), num(row["fused_gain"]), row["choice"])


def speed_table(rows, peers):
    heads = ["op", "type", "rows x columns", "#bytes", "cache", "#us", "#GB/s", "#copy GB/s", "#share of copy",
             *(f"#{peer['name']} / ours" for peer in peers), "#launch us", "#fused gain", "schedule"]
    return table(heads, list(speed_rows(rows, peers)))


def kinds_of(rows):
    return [kind for kind, _ in SERIES if any(row["dtype"] == kind for row in rows)]


def summary_cells(kinds, peers, wanted, of_shape):
    """The share of the copy, and each peer's ratio, of each type; what a goal is about is marked."""
    for kind in kinds:
        row = of_shape.get(kind)
        share = num(row and row["copy_share"])
        yield (mark(row["copy_share"] >= wanted, share),) if row and row["of_goals"] else share
    for peer in peers:
        for kind in kinds:
            found = of_shape.get(kind, {"peers": {}})["peers"].get(peer["name"])
            ratio = num(found and found["ratio"])
            of_goals = found and peer["name"] == "torch" and of_shape[kind]["of_goals"]
            yield (mark(found["ratio"] > 1, ratio),) if of_goals else ratio


def summary_table(rows, peers, wanted):
    """A line for each op and shape, past the caches."""
    shapes = {}
    for row in rows:
        if row["regime"] == "cold":
            shapes.setdefault((row["op"], row["rows"], row["columns"]), {})[row["dtype"]] = row
    kinds, lines, before = kinds_of(rows), [], None
    for (op, count, columns), of_shape in shapes.items():
        lines += [op] * (op != before) + [(f"{count}x{columns}", *summary_cells(kinds, peers, wanted, of_shape))]
        before = op
    heads = ["shape", *(f"#{kind} / copy" for kind in kinds),
             *(f"#{peer['name']} / ours, {kind}" for peer in peers for kind in kinds)]
    return table(heads, lines)


def speed_section(device, wanted):
    rows, peers = device["speed"], device["peers"]
    if not rows:
        return "<h3>Speed</h3><p class=\"soft\">Not measured.</p>"
    clocks = sorted({row["clock"] for row in rows})
    first = [row for row in rows if row["part"] == "speed"]
    parts = ["<h3>Speed</h3><p>Medians. GB/s counts every tensor once; the share is of the best copy of "
             "as many bytes, taking turns with the norm. cold: past the caches, warm: the same tensors "
             f"again. Time is {' and '.join(CLOCKS[clock] for clock in clocks)}. "
             + ("“name / ours” says how many times as long another library takes for the same."
                if peers else "") + "</p>", roofline(rows),
             summary_table([row for row in rows if row["part"] != "sweep"], peers, wanted)]
    parts.append(folded(f"Each with its times: {len(first)}", speed_table(first, peers)))
    for part, title in (("family", "The other norms"), ("sweep", "The default shapes of anynorm bench")):
        some = [row for row in rows if row["part"] == part]
        parts.append(folded(f"{title}: {len(some)}", speed_table(some, peers)))
    return "".join(parts) + peer_notes(device)


def peer_notes(device):
    rows = []
    for peer in device["peers"]:
        rows.append((peer["name"], peer["version"] or "–", peer["torch"], peer["where"], peer["matched"],
                     peer["clock"], us(peer["pair_us"]), num(peer["copy_ratio"])))
    return folded("Who the others are", table(
        ["library", "version", "PyTorch", "device", "matched", "clock", "#empty pair, us", "#its copy / ours"], rows) + (
            "<p>Their time on a GPU is between two events behind other work, less an empty pair of events; their "
            "parameters are of x's own type, anynorm's are f32. Where GB/s of its copy over ours is far "
            "from 1, the two were not measured in the same state of the device.</p>")) if rows else ""


def verify_section(device):
    if not device["verify"]:
        return '<h3>Results against the oracle</h3><p class="soft">Not measured.</p>'
    rows = [(line["schedule"], line["type"], line["cases"], num(line["worst"], 4), num(line["bound"], 1),
             (mark(None if line["result"].startswith("skipped") else line["result"] == "pass", line["result"]),))
            for line in device["verify"]["lines"]]
    words = "".join(f"<p>{mark(False, said)}</p>" for said in device["verify"]["said"] if said)
    return ("<h3>Results against the oracle</h3>" + words +
            table(["schedule", "type", "#cases", "#largest error", "#bound", "result"], rows))


def tests_section(device):
    def state(program):
        good = not program["failed"] and program["state"] == "done" and program["status"] in (0, 77)
        if program["state"] == "stopped":
            return mark(None, "stopped: no time was left")
        return mark(good, "passed" if good else ", ".join(program["failed"]) or
                    f"{program['state']}, status {program['status']}")
    rows = [(program["name"], program["passed"], len(program["failed"]), program["skipped"],
             num(program["seconds"], 1), (state(program),)) for program in device["tests"]]
    return folded(f"Device tests, {len(rows)} of their programs",
                  table(["test", "#passed", "#failed", "#skipped", "#seconds", "~result"], rows))


def question_section(device):
    parts = ["<h3>Questions that the selection has for this device</h3>"]
    if device["info"]["class"] != "gpu":
        parts.append('<p class="soft">This is no GPU: the runs are shown, but no choice for GPUs follows.</p>')
    for question in device["questions"]:
        verdict = {True: mark(None, "This would change something."), False: mark(True, "Nothing changes."),
                   None: ""}[question["changes"]]
        parts.append(f'<div class="q"><h4>{esc(question["ask"])}</h4><p>{esc(question["answer"])} {verdict}</p>' +
                     folded("Numbers, and what follows", pairs([
                         ("decided by", question["look"]), ("now", question["now"]),
                         ("would change", question["change"])]) + question_table(question)) + "</div>")
    return "".join(parts)


def question_table(question):
    rows = []
    for case in question["cases"]:
        rows.append(f"{case['shape']} {case['dtype']}")
        best = max((c["share"] for c in case["candidates"] if "share" in c), default=None)
        for c in case["candidates"]:
            asked = c["asked"] or "(the library's own)"
            if "share" in c:
                rows.append((asked, num(c["gbps"], 1), num(c["share"]),
                             (mark(True, "best") if c["share"] == best else "",), c["choice"]))
            else:
                rows.append((asked, "–", "–", "", "refused: " + c["refused"]))
    return table(["asked for", "#GB/s", "#share of copy", "", "~got"], rows)


def tune_section(device):
    groups = device["tune"]["groups"]
    if not groups:
        return ""
    rows = [(str(k + 1), shape["op"] or "–", shape["type"], f"{shape['rows']} x {shape['columns']}",
             num(shape["tried"], 0), num(shape["gain"]), shape["fastest"])
            for group in groups for k, run in enumerate(group["runs"]) for shape in run["shapes"]]
    lines = device["tune"]["lines"]
    text = ("<p>Alike in both runs, and so worth contributing (docs/tuning.md):</p><pre>" +
            esc("\n".join(lines)) + "</pre>" if lines else
            "<p>No line came out alike in two runs: the library's own choices stand.</p>")
    return "<h3>Tuning</h3>" + text + folded(
        f"What the tuner found: {len(rows)}",
        table(["#run", "op", "type", "rows x columns", "#tried", "#gain", "~fastest"], rows))


def device_section(device, number, wanted):
    info = device["info"]
    return "".join([
        f'<h2 id="device-{number}">{esc(info["id"])}: {esc(info["name"])}</h2>',
        f'<p class="soft">{esc(info["class"])}, {esc(info["platform"])}, driver {esc(info["driver"])}</p>',
        goal_cards(device), missed_goals(device), speed_section(device, wanted), verify_section(device),
        tests_section(device), question_section(device), tune_section(device),
        folded("All that the device tells", pairs(info.items()))])


# ---- The page ----


def api_section(report):
    rows = [(entry["first"], entry["second"], num(entry["faster"]), num(entry["least"]), num(entry["most"]),
             entry["shapes"], entry["how"]) for entry in report["apis"]]
    return "<h2>One chip, two APIs</h2><p>GB/s of the first over the second, past the caches; above 1 the first is " \
           "faster. README says which is used where none is named.</p>" + table(
               ["first", "second", "#mean", "#least", "#most", "#shapes", "one chip"], rows) if rows else ""


def host_section(report):
    host, own = report["host"], report["anynorm"]
    items = [("made", f"{report['made']}, {report['seconds']:.0f} s, {report['effort']}"),
             ("anynorm", f"{own['version']}, commit {(own['commit'] or 'unknown')[:12]}, "
                         f"program {own['program_hash']}"),
             ("system", f"{host['system']}, {host['machine']}"),
             ("processor", f"{host['processor']}, {host['cores']} cores, {size(host['memory_bytes'])}"),
             ("load", f"{host['load_before']:.2f} before, {host['load_after']:.2f} after")]
    items += [(name, value) for name, value in report["environment"].items()]
    return pairs(items)


def steps_section(report):
    rows = [(step["device"], step["name"], "kept" if step["kept"] else step["state"], num(step["seconds"], 1),
             step["file"], step["why"]) for step in report["steps"]]
    return folded(f"All steps: {len(rows)}",
                  table(["device", "step", "state", "#seconds", "raw result", "~why"], rows))


def skipped_section(report):
    rows = [(entry["what"], entry["why"]) for entry in report["skipped"]]
    if not rows:
        return "<h2>What was skipped</h2><p>Nothing.</p>"
    shown = table(["~what", "~why"], rows)
    return "<h2>What was skipped</h2>" + (shown if len(rows) <= 12 else folded(f"{len(rows)} things", shown))


def notes(report):
    """What keeps the report from being whole."""
    found = []
    if report["interrupted"]:
        found.append("Interrupted: this is what there was by then.")
    left = sum(step["state"] in ("stopped", "skipped") for step in report["steps"])
    if left:
        found.append(f"{left} of {len(report['steps'])} steps were left for want of time; the same "
                     "command again goes on.")
    return "".join(f"<p>{mark(None, words)}</p>" for words in found)


def render(report):
    names = list(dict.fromkeys(device["info"]["name"] for device in report["devices"]))
    title = "anynorm on " + ", ".join(names)
    links = "".join(f'<a href="#device-{k}">{esc(device["info"]["id"])}</a>'
                    for k, device in enumerate(report["devices"]))
    bad = "".join(f"<li>{mark(False, fault)}</li>" for fault in report["bad"])
    return "".join([
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{esc(title)}</title><style>{STYLE}</style></head><body><main>",
        f"<h1>{esc(title)}</h1>", host_section(report), f"<nav>{links}</nav>",
        notes(report),
        f"<h2>What is wrong</h2><ul>{bad}</ul>" if bad else "",
        *(device_section(device, k, report["goal_share"]) for k, device in enumerate(report["devices"])),
        api_section(report), skipped_section(report), steps_section(report),
        "</main></body></html>\n"])
