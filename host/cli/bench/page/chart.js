"use strict";
// The roofline: a mark for each case, a line for each schedule, the copy above them. Both axes are logarithmic; the
// share of the copy is not.

const MEASURES = {
    gbps: {text: "GB/s", log: true, of: (entry) => entry.gbps, roof: (entry) => entry.copy_gbps},
    share: {text: "share of the copy", log: false, of: (entry) => entry.copy_share, roof: () => 1},
};
const ROOF_NAME = "copy";

const SPACE = document.querySelector("#chart svg").namespaceURI;

function drawing(name, attributes, ...children) {
    return build(document.createElementNS(SPACE, name), attributes, children);
}

// Shapes tell the schedules apart where colours do not.
const SHAPES = ["M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z", "M-4,-4h8v8h-8z", "M0,-5L5,4H-5z", "M0,-5.5L5.5,0L0,5.5L-5.5,0z",
    "M0,5L5,-4H-5z", "M-1.5,-5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5z", "M-5,-2.5h10v5h-10z", "M-2.5,-5h5v10h-5z"];

function shapeOf(series) {
    return drawing("path", {d: SHAPES[series % SHAPES.length], fill: colourOf(series)});
}

function colourOf(series) {
    return `var(--series-${series % SHAPES.length})`;
}

function bytesText(bytes) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    const unit = Math.max(0, Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10)));
    return `${Number((bytes / 1024 ** unit).toPrecision(4))} ${units[unit]}`;
}

// A logarithmic (base 2) or plain scale of the values to [from, to], with `room` or a little more beyond either end.
function scaleOf(values, log, room, from, to) {
    const map = log ? Math.log2 : (v) => v;
    let low = Math.min(...values.map(map)), high = Math.max(...values.map(map));
    const edge = Math.max(room, (high - low) * 0.04);
    low -= edge;
    high += edge;
    return {low, high, at: (v) => from + (map(v) - low) / (high - low) * (to - from)};
}

function byteTicks(scale, width) {
    const steps = [1, 2, 3, 4, 5, 10, 20], most = Math.max(2, width / 70);
    const step = steps.find((s) => (scale.high - scale.low) / s <= most) || 40;
    const ticks = [];
    for (let k = Math.ceil(scale.low / step) * step; k <= scale.high; k += step)
        ticks.push(2 ** k);
    return ticks;
}

function valueTicks(scale, log) {
    const ticks = [];
    if (!log) {
        const step = [0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 50, 100].find((s) => (scale.high - scale.low) / s <= 10) || 1000;
        for (let k = Math.max(0, Math.ceil(scale.low / step)); k * step <= scale.high; k++)
            ticks.push(k * step);
        return ticks;
    }
    const decades = (scale.high - scale.low) / Math.log2(10), parts = decades > 4 ? [1] : decades > 2 ? [1, 3] : [1, 2, 5];
    for (let decade = Math.floor(scale.low / Math.log2(10)); decade <= scale.high / Math.log2(10); decade++) {
        for (const part of parts) {
            const tick = part * 10 ** decade;
            if (Math.log2(tick) >= scale.low && Math.log2(tick) <= scale.high)
                ticks.push(tick);
        }
    }
    return ticks;
}

function middle(values) {
    const list = [...values].sort((a, b) => a - b), half = (list.length - 1) / 2;
    return (list[Math.floor(half)] + list[Math.ceil(half)]) / 2;
}

// [bytes, value] of each doubling of the bytes in which there are cases.
function middles(entries, of) {
    const octaves = new Map();
    for (const entry of entries) {
        const octave = Math.floor(Math.log2(entry.bytes));
        octaves.set(octave, [...octaves.get(octave) || [], entry]);
    }
    return [...octaves.entries()].sort(([a], [b]) => a - b)
        .map(([, list]) => [middle(list.map((entry) => entry.bytes)), middle(list.map(of))]);
}

function pathOf(points, x, y) {
    return points.map(([bytes, value], i) => `${i ? "L" : "M"}${x.at(bytes).toFixed(1)},${y.at(value).toFixed(1)}`).join("");
}

function axes(x, y, measure, frame) {
    const {left, right, top, bottom} = frame, parts = [];
    for (const bytes of byteTicks(x, right - left)) {
        const at = x.at(bytes);
        parts.push(drawing("line", {"class": "grid", x1: at, x2: at, y1: top, y2: bottom}),
            drawing("text", {x: at, y: bottom + 18, "text-anchor": "middle"}, bytesText(bytes)));
    }
    for (const value of valueTicks(y, measure.log)) {
        const at = y.at(value);
        parts.push(drawing("line", {"class": "grid", x1: left, x2: right, y1: at, y2: at}),
            drawing("text", {x: left - 6, y: at + 4, "text-anchor": "end"}, figure(value)));
    }
    parts.push(drawing("text", {x: left, y: top - 8}, measure.text),
        drawing("text", {x: right, y: bottom + 36, "text-anchor": "end"}, "bytes of all tensors, each once"));
    return parts;
}

// Where there is one case alone, its copy is drawn as wide as the chart.
function roofOf(entries, measure, x, y, frame) {
    let points = middles(entries, measure.roof).map(([bytes, value]) => [x.at(bytes), y.at(value)]);
    points = [[frame.left, points[0][1]], ...points, [frame.right, points.at(-1)[1]]];
    const path = points.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(1)},${b.toFixed(1)}`).join("");
    return [drawing("path", {"class": "under", d: `${path}V${frame.bottom}H${frame.left}z`}),
        drawing("path", {"class": "roof", d: path}),
        drawing("text", {"class": "roof-name", x: frame.right, y: points.at(-1)[1] - 6, "text-anchor": "end"}, ROOF_NAME)];
}

function markOf(entry, series, place, name, listeners) {
    return drawing("g", {"class": "mark", transform: `translate(${place.map((v) => v.toFixed(1)).join()})`, tabindex: "-1",
        role: "img", "aria-label": name, "data-case": entry.index, ...listeners},
    drawing("circle", {"class": "reach", r: 11}), drawing("circle", {"class": "ring", r: 9}), shapeOf(series));
}

// The chart of the entries, `width` pixels wide. series(entry) is its schedule's number; choose(entry) is called where one
// is pointed at or reached.
function drawChart(entries, measure, width, series, nameOf, choose) {
    const height = Math.round(Math.max(280, Math.min(460, width * 0.55)));
    const frame = {left: 46, right: width - 8, top: 26, bottom: height - 44};
    const x = scaleOf(entries.map((entry) => entry.bytes), true, 0.5, frame.left, frame.right);
    const values = entries.flatMap((entry) => [measure.of(entry), measure.roof(entry)]);
    const y = scaleOf(measure.log ? values : [0, ...values], measure.log, measure.log ? 0.3 : 0.02, frame.bottom, frame.top);
    const lines = [...new Set(entries.map(series))].map((number) => drawing("path", {"class": "series", stroke: colourOf(number),
        d: pathOf(middles(entries.filter((entry) => series(entry) === number), measure.of), x, y)}));
    const marks = [...entries].sort((a, b) => a.bytes - b.bytes || a.index - b.index).map((entry) =>
        markOf(entry, series(entry), [x.at(entry.bytes), y.at(measure.of(entry))], nameOf(entry),
            {onfocus: () => choose(entry), onmouseenter: () => choose(entry), onclick: () => choose(entry)}));
    const move = (event) => {
        const at = marks.indexOf(document.activeElement);
        const to = {ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: marks.length - 1}[event.key];
        if (at >= 0 && marks[to]) {
            event.preventDefault();
            marks[to].focus();
        }
    };
    marks[0].setAttribute("tabindex", "0");
    return drawing("svg", {viewBox: `0 0 ${width} ${height}`, height, role: "group",
        "aria-label": `${measure.text} by bytes moved, ${entries.length} cases`, onkeydown: move},
    ...axes(x, y, measure, frame), ...roofOf(entries, measure, x, y, frame), ...lines, ...marks);
}
