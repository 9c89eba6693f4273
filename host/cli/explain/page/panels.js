"use strict";
// The panels below the two matrices. Each is drawn from the state as a whole.

const NORM_NAMES = {layer: "LayerNorm", rms: "RMSNorm", batch: "BatchNorm", instance: "InstanceNorm", group: "GroupNorm"};

function hasNorm(set, norm) {
    return norm in set.found;
}

function drawSteps(state, result) {
    const row = result.rows[result.rowOf[state.at]], {mean, variance, deviation, rstd} = row.statistic;
    const set = state.set, x = state.x;
    const columns = row.places.map((i) => {
        const {line, column} = placeOf(set, i);
        return `${lineName(set, line)}, ${columnName(set, column)}`;
    });
    const n = row.places.map((i) => (x[i] - mean) * rstd);
    const one = state.options.bessel ? row.places.length - 1 : row.places.length;
    const root = state.options.outside ? `√variance + eps = ${short(deviation)}` : `√(variance + eps) = ${short(deviation)}`;
    const middle = state.norm === "rms" ? [] : [
        [`less the mean, ${short(mean)}`, ...row.places.map((i) => short(x[i] - mean))]];
    replace("steps", plainTable("steps", ["", ...columns], [
        ["x", ...row.places.map((i) => short(x[i]))],
        ...middle,
        [`squared; their sum by ${one} is ${short(variance)}`, ...row.places.map((i) => short((x[i] - mean) ** 2))],
        [`over ${root}`, ...n.map(short)],
        [`times ${short(state.options.weight)}, plus ${short(state.options.bias)}`, ...row.places.map((i) => short(result.y[i]))],
    ]));
}

const HAPPENINGS = {
    drop: {text: "it is not there", change: (x, first) => x.slice(0, first)},
    add: {text: "10 is added to it", change: (x, first) => x.map((v, i) => i < first ? v : v + 10)},
    scale: {text: "it is 10 times as large", change: (x, first) => x.map((v, i) => i < first ? v : 10 * v)},
};

// How far the first sample's outputs move, norm by norm.
function drawOthers(state) {
    const {set, x, options} = state, sample = set.channels * set.height * set.width;
    const before = {...set}, after = {...set};
    let changed = HAPPENINGS[state.happening].change(x, (set.samples - 1) * sample);
    if (changed.length < x.length)
        after.samples = set.samples - 1;
    const rows = Object.keys(NORM_NAMES).filter((norm) => hasNorm(set, norm)).map((norm) => {
        if (after.samples === 0)
            return [NORM_NAMES[norm], "there is no other sample"];
        const y = normalize(before, x, norm, options).y, z = normalize(after, changed, norm, options).y;
        let most = 0;
        for (let i = 0; i < sample && set.samples > 1; i++)
            most = Math.max(most, Math.abs(y[i] - z[i]));
        const text = most > 1e-9 ? `moves by up to ${short(most)}` : "does not move";
        return [NORM_NAMES[norm], element("span", {"class": most > 1e-9 ? "moved" : "still"}, text)];
    });
    replace("others", plainTable("what moves", ["norm", "the first sample's output"], rows));
}

function drawGradient(state, result) {
    const dx = gradientOf(state.x, result, state.norm, state.options, state.at);
    const largest = Math.max(...dx.map(Math.abs));
    const map = heatMap(state.set, "gradient", (i) => short(dx[i]),
        (i) => ({name: `plain${i === state.at ? " chosen" : ""}`, colour: shade(dx[i], largest)}));
    const sum = dx.reduce((total, v) => total + v, 0);
    replace("gradient", map, element("p", {id: "gradient-sum"}, `All together: ${short(Math.abs(sum) < 1e-12 ? 0 : sum)}`));
}

const CONVENTIONS = [
    {name: "PyTorch, ONNX: eps 1e-5 inside the root", options: {eps: 1e-5}},
    {name: "Keras: eps 1e-3 inside the root", options: {eps: 1e-3}},
    {name: "TensorFlow's BERT: eps 1e-12 inside", options: {eps: 1e-12}},
    {name: "Annotated Transformer: std of n − 1, plus 1e-6", options: {eps: 1e-6, outside: true, bessel: true}},
];

// The digits from the first that differs on are marked.
function marked(text, like) {
    let same = 0;
    while (same < text.length && text[same] === like[same])
        same++;
    return same === text.length ? text : element("span", {}, text.slice(0, same), element("mark", {}, text.slice(same)));
}

function drawConventions(state) {
    const {set, x} = state, places = rowsOf(set, "layer")[0];
    const values = places.map((i) => x[i]);
    const lines = CONVENTIONS.map(({name, options}) => {
        const {mean, rstd} = statisticOf(values, "layer", options);
        return {name, digits: values.map((v) => ((v - mean) * rstd).toFixed(7).replace("-", "−"))};
    });
    replace("conventions", plainTable("conventions", ["", ...places.map((_, c) => String(c + 1))],
        lines.map(({name, digits}) => [name, ...digits.map((text, c) => marked(text, lines[0].digits[c]))])));
}

// Two counts that texts give for "the base transformer", and what each counts.
const PRESETS = [
    {text: "24 norms, 49 152 numbers", layers: 12, perLayer: 2, beside: 0, width: 1024, kind: 2,
        about: "This text counts 12 layers alike, two norms each, of 1024 channels: 12 times 4 vectors "
            + "of 1024. With the base model's 512 channels it would be half of that, 24 576."},
    {text: "30 norms, 30 720 numbers", layers: 12, perLayer: 2.5, beside: 0, width: 512, kind: 2,
        about: "This one counts Vaswani et al.'s base model: 6 encoder layers with two norms, 6 decoder layers with "
            + "three, of 512 channels: 30 norms of 1024 numbers."},
];

function drawBudget() {
    const value = (id) => Number(document.getElementById(id).value);
    const layers = value("layers"), width = value("width"), kind = value("kind");
    const norms = layers * value("per-layer") + value("beside"), numbers = norms * width * kind;
    const model = 12 * layers * width * width;
    const preset = PRESETS.find((p) => p.layers === layers && p.perLayer === value("per-layer") && p.width === width
        && p.kind === kind && p.beside === value("beside"));
    const spaced = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, " ");
    replace("budget", `${spaced(norms)} norms × ${width} channels × ${kind} = `, element("strong", {id: "parameters"}, spaced(numbers)),
        ` parameters, ${(100 * numbers / (model + numbers)).toPrecision(2)} % of a model with 12 · width² weights a layer `
        + `(${spaced(model)}). ${preset ? preset.about : ""}`);
    choice("presets", PRESETS.map((p, i) => ({value: String(i), text: p.text})), String(PRESETS.indexOf(preset)), (i) => {
        const p = PRESETS[Number(i)];
        for (const [id, key] of [["layers", "layers"], ["per-layer", "perLayer"], ["beside", "beside"], ["width", "width"], ["kind", "kind"]])
            document.getElementById(id).value = p[key];
        drawBudget();
    });
}
