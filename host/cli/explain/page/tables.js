"use strict";
// Building blocks of the page: elements, numbers as text, heat maps.

function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
        if (key.startsWith("on"))
            made.addEventListener(key.slice(2), value);
        else if (value !== false && value !== null && value !== undefined)
            made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
}

function replace(id, ...children) {
    document.getElementById(id).replaceChildren(...children);
}

// Short, but never so short that it hides a number that is not zero.
function short(value) {
    if (!Number.isFinite(value))
        return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
    const size = Math.abs(value);
    const text = size !== 0 && (size >= 1e5 || size < 1e-3) ? value.toExponential(2) : String(+value.toFixed(3));
    return text.replace("-", "−");
}

// Blue below nothing, red above, in proportion to the largest.
function shade(value, largest) {
    if (!Number.isFinite(value) || largest === 0)
        return "transparent";
    const part = Math.min(1, Math.abs(value) / largest);
    return `rgb(var(--${value < 0 ? "low" : "high"}) / ${(0.06 + 0.44 * part).toFixed(3)})`;
}

// Where element i of a set stands: a line for each sample, of images for each channel of each sample.
function placeOf(set, i) {
    const pixels = set.height * set.width;
    if (pixels === 1)
        return {line: Math.floor(i / set.channels), column: i % set.channels};
    return {line: Math.floor(i / pixels), column: i % pixels};
}

function lineName(set, line) {
    if (set.height * set.width === 1)
        return `sample ${line + 1}`;
    return `image ${Math.floor(line / set.channels) + 1}, channel ${line % set.channels + 1}`;
}

function columnName(set, column) {
    if (set.height * set.width === 1)
        return `${column + 1}`;
    return `${Math.floor(column / set.width) + 1},${column % set.width + 1}`;
}

// A table of the set's shape; cell(i) makes the content of each, look(i) its class and colour.
function heatMap(set, label, cell, look) {
    const count = set.samples * set.channels * set.height * set.width;
    const columns = placeOf(set, count - 1).column + 1, lines = count / columns;
    const head = element("tr", {}, element("td", {}),
        ...Array.from({length: columns}, (_, c) => element("th", {scope: "col"}, columnName(set, c))));
    const body = Array.from({length: lines}, (_, line) => {
        const gap = set.height * set.width > 1 && line > 0 && line % set.channels === 0;
        const cells = Array.from({length: columns}, (_, column) => {
            const i = line * columns + column, {name, colour} = look(i);
            return element("td", {"class": name, style: `background-color:${colour}`, "data-at": i}, cell(i));
        });
        return element("tr", {"class": gap ? "gap" : null}, element("th", {scope: "row"}, lineName(set, line)), ...cells);
    });
    return element("table", {"aria-label": label}, element("thead", {}, head), element("tbody", {}, ...body));
}

// A plain table: a heading for each column, then rows of text or nodes, the first of each its heading.
function plainTable(label, headings, rows) {
    const head = element("tr", {}, ...headings.map((text) => element("th", {scope: "col"}, text)));
    const body = rows.map(([name, ...cells]) => element("tr", {}, element("th", {scope: "row"}, name),
        ...cells.map((content) => element("td", {"class": "plain"}, content))));
    return element("table", {"aria-label": label}, element("thead", {}, head), element("tbody", {}, ...body));
}

// Buttons of which one is pressed.
function choice(id, entries, chosen, choose) {
    replace(id, ...entries.map(({value, text, disabled}) => element("button", {
        type: "button", value, disabled: disabled || false, "aria-pressed": String(value === chosen),
        onclick: () => choose(value)}, text)));
}
