"use strict";
// What the pages of runs have in common: whose numbers they are, and tables that sort.

function quoted(word) {
    return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

// The command as it would be typed into a shell.
function commandOf(numbers) {
    const settings = Object.entries(numbers.environment).map(([name, value]) => `${name}=${quoted(value)}`);
    return [...settings, ...numbers.command.map(quoted)].join(" ");
}

function describeRun(numbers) {
    const entries = [["Device", numbers.device], ["Driver", `${numbers.platform}, ${numbers.driver}`],
        ["Opened as", element("code", {}, numbers.id)], ["anynorm", numbers.version],
        ["Date", numbers.date.replace("T", " ").replace("Z", " UTC")],
        ["Command", element("code", {id: "command"}, commandOf(numbers))]];
    replace("run", ...entries.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]));
}

// Four digits, in full where they say more than an exponent would; null is what was not measured.
function figure(value) {
    if (value === null)
        return "–";
    if (!Number.isFinite(value))
        return short(value);
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-4 || size >= 1e7))
        return value.toExponential(3).replace("e+", "e").replaceAll("-", "−");
    return String(size >= 1000 ? Math.round(value) : Number(value.toPrecision(4))).replace("-", "−");
}

// Rows in the order of a column, what has no value last whichever way it goes.
function sorted(rows, columns, order) {
    const column = columns.find(({name}) => name === order.by);
    if (!column)
        return rows;
    return [...rows].sort((a, b) => {
        const x = column.value(a), y = column.value(b);
        if (x === null || y === null)
            return (x === null) - (y === null);
        return (x < y ? -1 : x > y ? 1 : 0) * (order.down ? -1 : 1);
    });
}

// A table of objects. A column has a name and value(row), by which it sorts; show(row), where the cell is
// another than the value; kind: "text" or "text long". The first press on a heading of numbers sorts the largest first.
// `look` makes a row's attributes. `again` draws anew in another order, by default the same rows.
function sortableTable(id, label, columns, rows, order, look = () => ({}), again = null) {
    const redraw = again || (() => sortableTable(id, label, columns, rows, order, look));
    const press = (column) => {
        order.down = order.by === column.name ? !order.down : !column.kind;
        order.by = column.name;
        redraw();
        document.querySelector(`#${id} th[aria-sort] button`).focus();
    };
    const head = columns.map((column) => {
        const sort = order.by !== column.name ? null : order.down ? "descending" : "ascending";
        return element("th", {scope: "col", "class": column.kind, "aria-sort": sort},
            element("button", {type: "button", value: column.name, onclick: () => press(column)}, column.name));
    });
    const body = sorted(rows, columns, order).map((row) => element("tr", look(row), ...columns.map((column) => {
        const content = column.show ? column.show(row) : column.kind ? column.value(row) : figure(column.value(row));
        return element("td", {"class": column.kind}, content);
    })));
    replace(id, element("table", {"aria-label": label}, element("thead", {}, element("tr", {}, ...head)),
        element("tbody", {}, ...body)));
}
