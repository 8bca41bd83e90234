// The layout as SVG. Everything that comes from the spec goes in as text.

function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function html(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((each) => each !== ""));
  return made;
}

function text(content, x, y, style, anchor = "start") {
  return svg("text", { x, y, class: style, "text-anchor": anchor }, content);
}

// The drawing; `drawn` is filled with what stands for each layer and each edge.
function draw(layout, drawn) {
  const group = svg("g");
  for (const edge of layout.edges) group.append(drawEdge(edge, drawn));
  for (const each of layout.elements) {
    if (each.type === "group") group.append(drawGroup(each, drawn));
    else if (each.type === "card") group.append(drawCard(each, drawn));
    else if (each.type === "more") group.append(drawMore(each));
    else if (!each.open) group.append(drawPill(each));
  }
  for (const edge of labelled(layout.edges.filter((each) => !each.to.open))) {
    const [x, y] = edge.start;
    const label = text(edge.shape[0], x + 6, y + 14, "shape");
    label.append(svg("title", {}, edge.shape[1]));
    group.append(label);
  }
  return group;
}

// One label for all edges of a result.
function labelled(edges) {
  const seen = new Set();
  return edges.filter((edge) => {
    const key = edge.start.join(" ");
    return !seen.has(key) && seen.add(key);
  });
}

function drawEdge(edge, drawn) {
  const tip = edge.to.open ? "" : "url(#tip)";
  const path = svg("path", { class: "edge", d: edge.path, ...(tip ? { "marker-end": tip } : {}) });
  path.append(svg("title", {}, edge.shape[1]));
  drawn.edges.push({ from: edge.from.layer, to: edge.to.layer, path });
  return path;
}

function drawPill(each) {
  const group = svg("g", { class: `pill ${each.type}`, transform: `translate(${each.x - each.w / 2} ${each.y})` });
  const inner = each.h === SIZE.port;
  group.append(
    svg("rect", { width: each.w, height: each.h, rx: each.h / 2 }),
    text(shortened(each.name), each.w / 2, each.h / 2 + 4, inner ? "note" : "name", "middle"),
    svg("title", {}, each.full ? `${each.name}: ${each.full}` : each.name),
  );
  return group;
}

function drawMore(each) {
  const { more, count } = each.layer;
  const group = svg("g", {
    class: "pill more", tabindex: "-1", role: "button", transform: `translate(${each.x - each.w / 2} ${each.y})`,
  });
  group.append(
    svg("rect", { width: each.w, height: each.h, rx: each.h / 2 }),
    text(`⋯ ${count} more passes`, each.w / 2, each.h / 2 + 4, "note", "middle"),
  );
  group.addEventListener("click", () => change(more, () => { more.all = true; }));
  return group;
}

function layerGroup(layer, x, y, style, drawn) {
  const group = svg("g", {
    class: `layer ${style}`, tabindex: "-1", role: "button", "aria-label": `${layer.path}, ${layer.shown}`,
    transform: `translate(${x} ${y})`, "data-path": layer.path, "data-family": layer.family,
  });
  if (layer.foldable) group.setAttribute("aria-expanded", String(layer.open));
  group.addEventListener("click", (event) => {
    event.stopPropagation();
    select(layer, { from: "network" });
  });
  group.addEventListener("dblclick", () => layer.foldable && toggle(layer));
  drawn.layers.set(layer, group);
  return group;
}

function drawCard(each, drawn) {
  const { layer, figure, w } = each;
  const group = layerGroup(layer, each.x - w / 2, each.y, layer.foldable ? "card folded" : "card", drawn);
  if (layer.foldable) {
    for (const by of [6, 3]) group.append(svg("rect", { class: "sheet", x: by, y: by, width: w, height: each.h, rx: 8 }));
  }
  group.append(
    svg("rect", { class: "face", width: w, height: each.h, rx: 8 }),
    svg("path", { class: "side", d: `M5 0H8A8 8 0 0 0 8 0V${each.h}H8A8 8 0 0 1 0 ${each.h - 8}V8A8 8 0 0 1 8 0z` }),
    text(shortened(layer.name), 18, 20, "name"),
    text(shortened(layer.shown), 18, 36, "note"),
    text(figure.text, w - 10, 36, "figure", "end"),
  );
  if (figure.share > 0.004) {
    const long = Math.max(2, (w - 28) * figure.share);
    group.append(svg("rect", { class: "share", x: 18, y: SIZE.card - 4, width: long, height: 2, rx: 1 }));
  }
  if (layer.foldable) group.append(foldButton(layer, w - 18, 14));
  layer.joined.forEach((inner, index) => {
    const y = SIZE.card + SIZE.strip * index;
    const strip = layerGroup(inner, 0, y, "strip", drawn);
    strip.append(
      svg("path", { class: "face", d: `M0 0H${w}V${SIZE.strip - 8}A8 8 0 0 1 ${w - 8} ${SIZE.strip}H8A8 8 0 0 1 0 ${SIZE.strip - 8}z` }),
      svg("circle", { class: "dot", cx: 21, cy: SIZE.strip / 2, r: 3 }),
      text(inner.kind, 30, SIZE.strip / 2 + 4, "note"),
      svg("title", {}, inner.path),
    );
    group.append(strip);
  });
  group.append(svg("title", {}, `${layer.path}: ${layer.shown}`));
  return group;
}

function drawGroup(each, drawn) {
  const { layer, figure, w, h } = each;
  const group = layerGroup(layer, each.x - w / 2, each.y, "group", drawn);
  const name = shortened(layer.name);
  group.append(
    svg("rect", { class: "face", width: w, height: h, rx: 10 }),
    svg("path", { class: "head", d: `M0 ${SIZE.head}V10A10 10 0 0 1 10 0H${w - 10}A10 10 0 0 1 ${w} 10V${SIZE.head}z` }),
    text(name, 14, 20, "name"),
    text(shortened(layer.shown), 24 + measure(name, FONT.name), 20, "note"),
    text(figure.text, w - 36, 20, "figure", "end"),
    foldButton(layer, w - 18, SIZE.head / 2),
    svg("title", {}, `${layer.path}: ${layer.shown}`),
  );
  const inner = draw(each.inner, drawn);
  inner.setAttribute("transform", `translate(${each.shift} ${SIZE.head})`);
  group.append(inner);
  return group;
}

function foldButton(layer, x, y) {
  const group = svg("g", { class: "fold", transform: `translate(${x} ${y})` });
  group.append(
    svg("circle", { r: 8.5 }),
    svg("path", { d: layer.open ? "M-4 0H4" : "M-4 0H4M0 -4V4" }),
    svg("title", {}, layer.open ? "Fold" : "Unfold"),
  );
  group.addEventListener("click", (event) => {
    event.stopPropagation();
    toggle(layer);
  });
  return group;
}
