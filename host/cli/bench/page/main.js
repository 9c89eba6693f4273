"use strict";
// What is shown of the cases, and the controls that choose it.

const numbers = JSON.parse(document.getElementById("numbers").textContent);
const cases = numbers.results.map((result, index) => ({...result, index}));
const schedules = [...new Set(cases.map((entry) => entry.schedule))];
const state = {measure: "gbps", regime: cases.length ? cases[0].regime : "cold", op: "", type: "", hidden: new Set(), chosen: null};
const order = {by: null, down: false};

const COLUMNS = [
    {name: "Op", kind: "text", value: (c) => c.op},
    {name: "Shape", kind: "text", value: (c) => c.rows * c.columns, show: shapeText},
    {name: "Type", kind: "text", value: (c) => c.dtype},
    {name: "Schedule", kind: "text", value: (c) => c.schedule},
    {name: "GB/s", value: (c) => c.gbps}, {name: "Copy", value: (c) => c.copy_gbps}, {name: "Share", value: (c) => c.copy_share},
    {name: "Wall p50", value: (c) => c.wall_us_p50}, {name: "p10", value: (c) => c.wall_us_p10}, {name: "p90", value: (c) => c.wall_us_p90},
    {name: "Event p50", value: (c) => c.event_us_p50}, {name: "Launch", value: (c) => c.launch_us}, {name: "Host", value: (c) => c.host_ns},
    {name: "Batched", value: (c) => c.batched_us}, {name: "Unfused", value: (c) => c.unfused_us_p50}, {name: "Gain", value: (c) => c.fused_gain},
    {name: "Bytes", value: (c) => c.bytes, show: (c) => String(c.bytes)},
];

function shapeText(entry) {
    return `${entry.rows} × ${entry.columns}`;
}

function nameOf(entry) {
    return `${entry.op}, ${shapeText(entry)} ${entry.dtype}, ${entry.schedule}, ${entry.regime}: ${figure(entry.gbps)} GB/s, `
        + `${figure(entry.copy_share)} of the copy`;
}

function shownCases() {
    return cases.filter((c) => c.regime === state.regime && (!state.op || c.op === state.op)
        && (!state.type || c.dtype === state.type) && !state.hidden.has(c.schedule));
}

function spread(entry, what) {
    if (entry[`${what}_p50`] === null)
        return "not measured";
    return `${figure(entry[`${what}_p50`])} µs (${figure(entry[`${what}_p10`])} to ${figure(entry[`${what}_p90`])})`;
}

function drawCase() {
    const c = state.chosen === null ? null : cases[state.chosen];
    for (const part of document.querySelectorAll("[data-case]"))
        part.classList.toggle("chosen", c !== null && Number(part.dataset.case) === c.index);
    if (!c)
        return replace("case", element("p", {"class": "none"}, "No case is chosen."));
    const facts = [["schedule", c.choice], ["wall time, median (10 % to 90 %)", spread(c, "wall_us")],
        ["the device's own time", spread(c, "event_us")], ["speed", `${figure(c.gbps)} GB/s by ${c.clock} time`],
        [`best copy (${c.best_copy})`, `${figure(c.copy_gbps)} GB/s, ${figure(c.copy_us)} µs`],
        ["share of the copy", figure(c.copy_share)], ["bytes", `${c.bytes} (${bytesText(c.bytes)})`],
        ["empty launch", `${figure(c.launch_us)} µs`], ["host's enqueue", `${figure(c.host_ns)} ns`]];
    if (c.batched_us !== null)
        facts.push(["each of 100 enqueues (empty)", `${figure(c.batched_us)} µs (${figure(c.batched_launch_us)})`]);
    if (c.unfused_us_p50 !== null)
        facts.push(["unfused", `${figure(c.unfused_us_p50)} µs, ${figure(c.fused_gain)} times as long`]);
    facts.push(["rounds", String(c.repetitions)]);
    return replace("case", element("h3", {}, `${c.op}, ${shapeText(c)} ${c.dtype}, ${c.regime}`),
        element("dl", {}, ...facts.map(([term, fact]) => element("div", {}, element("dt", {}, term), element("dd", {}, fact)))));
}

function choose(entry) {
    if (state.chosen !== entry.index) {
        state.chosen = entry.index;
        drawCase();
    }
}

function draw() {
    const shown = shownCases(), measure = MEASURES[state.measure];
    const drawn = shown.filter((c) => measure.of(c) > 0 && measure.roof(c) > 0);
    const width = Math.max(260, document.getElementById("chart").clientWidth);
    if (!shown.some((c) => c.index === state.chosen))
        state.chosen = null;
    replace("chart", drawn.length
        ? drawChart(drawn, measure, width, (c) => schedules.indexOf(c.schedule), nameOf, choose)
        : element("p", {"class": "none"}, cases.length ? "No case is left to show." : "Nothing was measured."));
    sortableTable("table", "cases", COLUMNS, shown, order,
        (c) => ({"class": c.index === state.chosen ? "chosen" : null, "data-case": c.index, onmouseenter: () => choose(c), onclick: () => choose(c)}));
    drawCase();
}

function drawChoices() {
    const pick = (key) => (value) => {
        state[key] = value;
        drawChoices();
        draw();
    };
    choice("measures", Object.entries(MEASURES).map(([value, {text}]) => ({value, text})), state.measure, pick("measure"));
    choice("regimes", ["cold", "warm"].map((value) => ({value, text: value, disabled: !cases.some((c) => c.regime === value)})),
        state.regime, pick("regime"));
    replace("schedules", ...schedules.map((name, i) => element("button", {type: "button", value: name,
        "aria-pressed": String(!state.hidden.has(name)), onclick: () => {
            if (!state.hidden.delete(name))
                state.hidden.add(name);
            drawChoices();
            draw();
            document.querySelectorAll("#schedules button")[i].focus();
        }}, drawing("svg", {viewBox: "-7 -7 14 14", "aria-hidden": "true"}, shapeOf(i)), name)));
}

function fillSelect(id, key, field) {
    const select = document.getElementById(id), values = [...new Set(cases.map((c) => c[field]))];
    select.append(...(values.length === 1 ? [] : [element("option", {value: ""}, "all")]),
        ...values.map((value) => element("option", {value}, value)));
    select.addEventListener("change", () => {
        state[key] = select.value;
        draw();
    });
}

describeRun(numbers);
fillSelect("op", "op", "op");
fillSelect("type", "type", "dtype");
drawChoices();
draw();
if (numbers.skipped.length > 0) {
    document.getElementById("skipped-section").hidden = false;
    sortableTable("skipped", "skipped", [...COLUMNS.slice(0, 3), {name: "Reason", kind: "text long", value: (c) => c.reason}],
        numbers.skipped, {by: null, down: false});
}
let drawnWidth = document.getElementById("chart").clientWidth;
new ResizeObserver(() => {
    const width = document.getElementById("chart").clientWidth;
    if (width !== drawnWidth) {
        drawnWidth = width;
        draw();
    }
}).observe(document.getElementById("chart"));
