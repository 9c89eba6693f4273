"use strict";
// The norms in double precision: what the page recomputes, and checks the device by.

// Which elements share a statistic: lists of their places in x, row by row of the norm.
function rowsOf(set, norm) {
    const pixels = set.height * set.width, sample = set.channels * pixels;
    const all = Array.from({length: set.samples * sample}, (_, i) => i);
    const row = {
        layer: (i) => Math.floor(i / sample),
        rms: (i) => Math.floor(i / sample),
        batch: (i) => Math.floor(i / pixels) % set.channels,
        instance: (i) => Math.floor(i / pixels),
        group: (i) => Math.floor(i / (sample / set.groups)),
    }[norm];
    const rows = [];
    for (const i of all)
        (rows[row(i)] ||= []).push(i);
    return rows;
}

// The statistic of one row's values.
function statisticOf(values, norm, options) {
    const count = values.length;
    const mean = norm === "rms" ? 0 : values.reduce((sum, v) => sum + v, 0) / count;
    const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
    const variance = squares / (options.bessel ? count - 1 : count);
    const deviation = options.outside ? Math.sqrt(variance) + options.eps : Math.sqrt(variance + options.eps);
    return {mean, variance, deviation, rstd: 1 / deviation};
}

// Of all rows: y, and each row's elements and statistic. weight and bias are one number for all.
function normalize(set, x, norm, options) {
    const rows = rowsOf(set, norm).map((places) => {
        const values = places.map((i) => x[i]);
        return {places, statistic: statisticOf(values, norm, options)};
    });
    const y = new Array(x.length), rowOf = new Array(x.length);
    rows.forEach((row, r) => {
        for (const i of row.places) {
            rowOf[i] = r;
            y[i] = (x[i] - row.statistic.mean) * row.statistic.rstd * options.weight + options.bias;
        }
    });
    return {y, rows, rowOf};
}

// By how much y at `at` grows for each x: with dy 1 there and 0 elsewhere.
function gradientOf(x, result, norm, options, at) {
    const {places, statistic} = result.rows[result.rowOf[at]];
    const {mean, rstd, variance} = statistic, count = places.length;
    const n = (i) => (x[i] - mean) * rstd;
    const share = options.outside && variance > 0 ? 1 / (Math.sqrt(variance) * rstd) : options.outside ? 0 : 1;
    const over = options.bessel ? count - 1 : count;
    const dx = new Array(x.length).fill(0);
    for (const i of places) {
        const own = i === at ? 1 : 0, center = norm === "rms" ? 0 : 1 / count;
        dx[i] = options.weight * rstd * (own - center - n(i) * n(at) / over * share);
    }
    return dx;
}
