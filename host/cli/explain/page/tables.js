"use strict";
// Heat maps of the page, and the names of their cells.

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
