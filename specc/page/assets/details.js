// The card of the selected layer, the legend and the totals.

function showDetails(layer) {
  const card = document.getElementById("details");
  card.hidden = layer === null;
  if (layer === null) return;
  const close = html("button", { type: "button", class: "close", "aria-label": "Close" }, "×");
  close.addEventListener("click", () => select(null, {}));
  const doc = layer.role === "layer" && DATA.kinds[layer.kind] ? DATA.kinds[layer.kind][1] : "";
  card.replaceChildren(
    close,
    html("h2", {}, html("i", { class: "swatch", "data-family": layer.family }), layer.path, html("small", {}, layer.shown)),
    doc ? html("p", {}, doc) : "",
    figuresOf(layer),
    html("dl", {}, ...pairs("output", layer.outputs.map(([, full]) => html("code", {}, full))),
      ...pairs("attributes", attributesOf(layer))),
    layer.spec.tensors.length ? tensorsOf(layer) : "",
  );
}

function figuresOf(layer) {
  const [parameters, flops, memory, bytes] = layer.figures;
  const cell = (label, [value, shown], index) => {
    const whole = NETWORK.layers.reduce((all, each) => all + (Number(each.figures[index][0]) || 0), 0);
    const share = Number.isFinite(value) && whole && value ? ` · ${percent(value / whole)}` : "";
    return html("div", {}, html("b", {}, shown || "0"), html("span", {}, label + share));
  };
  const count = Number.isFinite(parameters[0]) ? parameters[0].toLocaleString("en") : parameters[0];
  return html("div", { class: "figures" },
    cell("parameters", [parameters[0], count], 0),
    cell("FLOPs", flops, 1),
    cell("activations", memory, 2),
    html("div", {}, html("b", {}, bytes || "0 B"), html("span", {}, "in memory")));
}

function percent(share) {
  return share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
}

function pairs(label, values) {
  return values.length ? [html("dt", {}, label), html("dd", {}, ...values)] : [];
}

function attributesOf(layer) {
  const given = layer.spec.attributes.filter(([, value]) => value !== "none");
  return given.map(([name, value]) => html("code", {}, html("span", {}, `${name} `), value));
}

function tensorsOf(layer) {
  const rows = layer.spec.tensors.map(([name, shape, count, initial, note]) =>
    html("tr", {}, ...[name, shape, count, note ? `${initial}; ${note}` : initial].map((each) => html("td", {}, each))));
  const head = html("tr", {}, ...["tensor", "shape", "numbers", "starts as"].map((each) => html("th", {}, each)));
  return html("table", {}, html("thead", {}, head), html("tbody", {}, ...rows));
}

function showTotals() {
  document.getElementById("title").textContent = DATA.title;
  const list = document.getElementById("totals");
  for (const [label, value] of DATA.totals) list.append(html("div", {}, html("dd", {}, value), html("dt", {}, label)));
  list.append(html("div", {}, html("dd", {}, DATA.settings[0]), html("dt", {}, DATA.settings.slice(1).join(", "))));
}

function showLegend() {
  const families = new Map();
  for (const each of LAYERS) families.set(each.family, (families.get(each.family) || 0) + 1);
  const list = document.getElementById("legend");
  for (const [family, count] of [...families].sort()) {
    const button = html("button", { type: "button", title: "Highlight these" },
      html("i", { class: "swatch", "data-family": family }), family, html("small", {}, String(count)));
    button.addEventListener("click", () => search(searched === `is:${family}` ? "" : `is:${family}`, true));
    list.append(html("li", {}, button));
  }
}
