"use strict";
// What every page is built of: elements, numbers as text, tables, buttons of which one is pressed.

// Attributes whose names begin with "on" are listeners; null and false are none.
function build(made, attributes, children) {
    for (const [key, value] of Object.entries(attributes || {})) {
        if (key.startsWith("on"))
            made.addEventListener(key.slice(2), value);
        else if (value !== false && value !== null && value !== undefined)
            made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
}

function element(name, attributes, ...children) {
    return build(document.createElement(name), attributes, children);
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

// A plain table: a heading for each column, then rows of text or nodes, the first of each its heading.
function plainTable(label, headings, rows) {
    const head = element("tr", {}, ...headings.map((text) => element("th", {scope: "col"}, text)));
    const body = rows.map(([name, ...cells]) => element("tr", {}, element("th", {scope: "row"}, name),
        ...cells.map((content) => element("td", {"class": "plain"}, content))));
    return element("table", {"aria-label": label}, element("thead", {}, head), element("tbody", {}, ...body));
}

// Buttons of which one is pressed. The one that has the focus keeps it.
function choice(id, entries, chosen, choose) {
    const focused = document.activeElement.closest(`#${id} button`);
    replace(id, ...entries.map(({value, text, disabled}) => element("button", {
        type: "button", value, disabled: disabled || false, "aria-pressed": String(value === chosen),
        onclick: () => choose(value)}, text)));
    if (focused)
        [...document.querySelectorAll(`#${id} button`)].find((button) => button.value === focused.value).focus();
}
