"use strict";
// The verdict, a line for each schedule, and the cases that the controls leave.

const numbers = JSON.parse(document.getElementById("numbers").textContent);
const OUTCOMES = {all: "all", FAIL: "failing", pass: "passed", skipped: "skipped"};
const MOST = 300; // rows that are drawn at once: a full run has thousands
const state = {outcome: "all", words: "", all: false};
const order = {by: null, down: false};

function wordsOf(entry) {
    return [entry.result, entry.schedule, entry.line, entry.type, entry.spec, entry.values, entry.reason].join(" ").toLowerCase();
}

// What is wrong and no number is beyond every bound.
function shareOf(entry) {
    return entry.result === "skipped" ? null : entry.share === null ? Infinity : entry.share;
}

function bar(entry) {
    const share = shareOf(entry);
    if (share === null)
        return "–";
    const text = share <= 10 ? `${figure(100 * share)} %` : `${figure(share)} times`;
    return element("span", {"class": entry.result}, element("span", {"class": "bar", "aria-hidden": "true"},
        element("span", {style: `width:${Math.min(100, 100 * share).toFixed(1)}%`})), text);
}

function verdict(entry) {
    return element("span", {"class": entry.result}, entry.result);
}

function caseText(entry) {
    return element("span", {}, element("code", {}, entry.spec),
        entry.reason ? element("span", {"class": "reason"}, entry.reason) : "");
}

const RESULT = {name: "Result", kind: "text", value: (c) => c.result, show: verdict};
const LINES = [{name: "Schedule", kind: "text", value: (c) => c.schedule}, {name: "Of", kind: "text", value: (c) => c.line},
    {name: "Cases", value: (c) => c.cases}, {name: "Largest error", value: (c) => c.error}, {name: "Bound", value: (c) => c.bound}, RESULT];
const CASES = [RESULT, {name: "Schedule", kind: "text", value: (c) => c.schedule},
    {name: "Of", kind: "text", value: (c) => c.line}, {name: "Type", kind: "text", value: (c) => c.type},
    {name: "Error", value: (c) => c.result === "skipped" ? null : c.error === null ? Infinity : c.error},
    {name: "Bound", value: (c) => c.bound}, {name: "Worst share", value: shareOf, show: bar},
    {name: "Values of x", kind: "text", value: (c) => c.values},
    {name: "Case", kind: "text long", value: (c) => c.spec, show: caseText}];

const indexed = numbers.cases.map((entry) => ({entry, words: wordsOf(entry)}));

function shownCases() {
    const words = state.words.toLowerCase().split(/\s+/).filter((word) => word);
    return indexed.filter((one) => (state.outcome === "all" || one.entry.result === state.outcome)
        && words.every((word) => one.words.includes(word))).map((one) => one.entry);
}

function draw() {
    const shown = sorted(shownCases(), CASES, order), drawn = state.all ? shown : shown.slice(0, MOST);
    document.getElementById("more").hidden = drawn.length === shown.length;
    replace("count", `${shown.length} of ${numbers.cases.length} cases${drawn.length < shown.length ? `, the first ${drawn.length} drawn` : ""}`);
    if (shown.length === 0)
        replace("cases", element("p", {"class": "none"}, numbers.cases.length ? "No case is left to show." : "There is no case."));
    else
        sortableTable("cases", "cases", CASES, drawn, order, () => ({}), draw);
}

function countOf(result) {
    return numbers.cases.filter((entry) => entry.result === result).length;
}

function drawBanner() {
    const failed = countOf("FAIL"), passed = countOf("pass"), skipped = countOf("skipped");
    const banner = document.getElementById("banner");
    banner.className = failed ? "bad" : passed ? "good" : "";
    banner.textContent = (failed ? `${failed} of ${failed + passed} cases are WRONG` : passed ? `All ${passed} cases are right` : "No case was run")
        + (skipped ? `; ${skipped} that a schedule does not serve here are skipped.` : ".");
    document.getElementById("way-out").textContent = failed ? `First in ${numbers.first_failure}. ${numbers.way_out}` : "";
}

function drawOutcomes() {
    choice("outcomes", Object.entries(OUTCOMES).map(([value, text]) => ({value,
        text: `${text} (${value === "all" ? numbers.cases.length : countOf(value)})`})), state.outcome, (value) => {
        state.outcome = value;
        drawOutcomes();
        draw();
    });
}

describeRun(numbers);
drawBanner();
sortableTable("lines", "schedules", LINES, numbers.lines, {by: null, down: false});
drawOutcomes();
draw();
document.getElementById("words").addEventListener("input", (event) => {
    state.words = event.target.value;
    draw();
});
document.getElementById("more").addEventListener("click", () => {
    state.all = true;
    draw();
});
