"use strict";
// The page's state, its controls, and the check of its own arithmetic by the device's numbers.

const numbers = JSON.parse(document.getElementById("numbers").textContent);
const STARTS = {ones: [1, 0], centred: [1, 0], zeros: [0, 0], small: [0.02, 0]};
const state = {happening: "drop"};

function valuesOf(list) {
    return list.map((v) => v === null ? NaN : v);
}

// The largest difference from the device, of y, the statistics and the gradient of each row's first element, in
// units of 2^-23 of max(1, |value|); NaN must meet NaN.
function difference() {
    let most = 0;
    const compare = (device, here) => {
        const both = Number.isFinite(device) && Number.isFinite(here);
        if (both)
            most = Math.max(most, Math.abs(device - here) / Math.max(1, Math.abs(here)) * 2 ** 23);
        else if (Number.isFinite(device) !== Number.isFinite(here))
            most = Infinity;
    };
    for (const set of numbers.sets) {
        const x = valuesOf(set.x);
        for (const [norm, found] of Object.entries(set.found)) {
            const options = {eps: numbers.eps, outside: false, bessel: false, weight: 1, bias: 0};
            const result = normalize(set, x, norm, options);
            valuesOf(found.y).forEach((v, i) => compare(v, result.y[i]));
            result.rows.forEach((row, r) => {
                compare(valuesOf(found.rstd)[r], row.statistic.rstd);
                if (found.mean)
                    compare(valuesOf(found.mean)[r], row.statistic.mean);
                const dx = gradientOf(x, result, norm, options, row.places[0]);
                for (const i of row.places)
                    compare(valuesOf(found.dx)[i] * row.statistic.deviation, dx[i] * row.statistic.deviation);
            });
        }
    }
    return most;
}

function drawBanner() {
    const most = difference(), good = most <= 64;
    const banner = document.getElementById("banner");
    banner.className = good ? "good" : "bad";
    banner.textContent = good
        ? `This page and the device agree: they differ by ${most.toFixed(1)} units of the seventh digit (2⁻²³) at most.`
        : `This page and the device DIFFER: by ${short(most)} units of the seventh digit (2⁻²³). Trust neither before you know why.`;
}

function describe(result) {
    const {set, norm, at} = state, row = result.rows[result.rowOf[at]];
    const {mean, variance, rstd} = row.statistic, {line, column} = placeOf(set, at);
    const over = {layer: "its whole sample", rms: "its whole sample, about nothing", batch: "its channel, in all samples",
        instance: "its channel, in its image alone", group: "its group of channels, in its image alone"}[norm];
    replace("over", `${lineName(set, line)}, ${columnName(set, column)}: the ${NORM_NAMES[norm]} statistics are taken over `
        + `${over}, ${row.places.length} numbers (framed). `, norm === "rms" ? "" : `mean ${short(mean)}, `,
        `${norm === "rms" ? "mean square" : "variance"} ${short(variance)}, rstd ${short(rstd)}; `
        + `x ${short(state.x[at])} becomes y ${short(result.y[at])}.`);
}

// The frames and colours alone: a field that is being edited stays as it is.
function drawLooks(result) {
    const row = result.rowOf[state.at];
    for (const [id, values] of [["input", state.x], ["result", result.y]]) {
        const finite = values.filter(Number.isFinite).map(Math.abs), largest = Math.max(0, ...finite);
        for (const cell of document.querySelectorAll(`#${id} td[data-at]`)) {
            const i = Number(cell.dataset.at);
            cell.className = (result.rowOf[i] === row ? "same" : "") + (i === state.at ? " chosen" : "");
            cell.style.backgroundColor = shade(values[i], largest);
            if (id === "result")
                cell.firstChild.textContent = short(values[i]);
        }
    }
}

function update() {
    const result = normalize(state.set, state.x, state.norm, state.options);
    drawLooks(result);
    describe(result);
    drawSteps(state, result);
    drawOthers(state);
    drawGradient(state, result);
    drawConventions(state);
}

function choose(i) {
    if (state.at !== i) {
        state.at = i;
        update();
    }
}

// Arrows go from cell to cell of y, where they edit nothing.
function move(event, i) {
    const columns = placeOf(state.set, state.x.length - 1).column + 1;
    const by = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns}[event.key];
    const target = by && document.querySelector(`#result td[data-at="${i + by}"] button`);
    if (target) {
        event.preventDefault();
        target.focus();
    }
}

function nameOf(i) {
    const {line, column} = placeOf(state.set, i);
    return `${lineName(state.set, line)}, ${columnName(state.set, column)}`;
}

function drawMatrices() {
    const none = () => ({name: "", colour: "transparent"});
    replace("input", heatMap(state.set, "x", (i) => element("input", {
        type: "number", step: "any", value: String(+state.x[i].toPrecision(7)), "aria-label": `x of ${nameOf(i)}`,
        onfocus: () => choose(i), onmouseover: () => choose(i), oninput: (event) => {
            const value = event.target.valueAsNumber;
            if (Number.isFinite(value)) {
                state.x[i] = value;
                update();
            }
        }}), none));
    replace("result", heatMap(state.set, "y", (i) => element("button", {
        type: "button", "aria-label": `y of ${nameOf(i)}`, "data-value": i, onfocus: () => choose(i),
        onmouseover: () => choose(i), onclick: () => choose(i), onkeydown: (event) => move(event, i)}), none));
}

function drawChoices() {
    choice("sets", numbers.sets.map((set, k) => ({value: String(k), text: `${set.name} ${shapeOf(set)}`})),
        String(numbers.sets.indexOf(state.set)), (k) => useSet(numbers.sets[Number(k)]));
    choice("norms", Object.entries(NORM_NAMES).map(([value, text]) => ({value, text, disabled: !hasNorm(state.set, value)})),
        state.norm, (norm) => {
            state.norm = norm;
            drawChoices();
            update();
        });
    choice("happenings", Object.entries(HAPPENINGS).map(([value, {text}]) => ({value, text})), state.happening, (value) => {
        state.happening = value;
        drawChoices();
        update();
    });
}

function shapeOf(set) {
    const shape = set.height * set.width > 1 ? [set.samples, set.channels, set.height, set.width] : [set.samples, set.channels];
    return shape.join(" × ");
}

function useSet(set) {
    state.set = set;
    state.x = valuesOf(set.x);
    state.at = 0;
    if (!hasNorm(set, state.norm))
        state.norm = "layer";
    drawMatrices();
    drawChoices();
    update();
}

function begin() {
    state.norm = "layer";
    state.options = {eps: numbers.eps, outside: false, bessel: false, weight: 1, bias: 0};
    document.getElementById("eps").value = String(numbers.eps);
    document.getElementById("outside").checked = document.getElementById("bessel").checked = false;
    document.getElementById("weight").value = "1";
    document.getElementById("bias").value = "0";
    document.getElementById("start").value = "ones";
    useSet(numbers.sets[0]);
}

function listen() {
    for (const key of ["eps", "weight", "bias"]) {
        document.getElementById(key).addEventListener("input", (event) => {
            const value = event.target.valueAsNumber;
            if (Number.isFinite(value) && (key !== "eps" || value >= 0)) {
                state.options[key] = value;
                update();
            }
        });
    }
    for (const key of ["outside", "bessel"]) {
        document.getElementById(key).addEventListener("change", (event) => {
            state.options[key] = event.target.checked;
            update();
        });
    }
    document.getElementById("start").addEventListener("change", (event) => {
        [state.options.weight, state.options.bias] = STARTS[event.target.value];
        document.getElementById("weight").value = state.options.weight;
        document.getElementById("bias").value = state.options.bias;
        update();
    });
    document.getElementById("reset").addEventListener("click", begin);
    for (const id of ["layers", "per-layer", "beside", "width", "kind"])
        document.getElementById(id).addEventListener("input", drawBudget);
}

document.getElementById("version").textContent = numbers.version;
document.getElementById("device").textContent = `${numbers.device} (${numbers.platform}, ${numbers.id})`;
drawBanner();
listen();
begin();
drawBudget();
