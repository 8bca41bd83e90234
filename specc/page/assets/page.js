// Selection, keys and the start.

let selected = null;

// Selects a layer, or nothing. `from` is where the user is: that place does not move.
function select(layer, { from = null } = {}) {
  selected = layer;
  if (layer && reveal(layer)) redraw();
  else showSelection();
  showDetails(layer);
  if (layer) bringIntoSight(visible(layer));
  for (const pane of PANES) pane.show(layer, pane !== from);
  const place = layer ? `#${encodeURIComponent(layer.path)}` : "#";
  if (location.hash !== place && (layer || location.hash)) history.replaceState(null, "", place);
}

function showSelection() {
  const shown = selected && visible(selected);
  const box = shown && holder(shown);
  for (const [layer, shape] of drawing.layers) {
    shape.classList.toggle("selected", layer === shown);
    shape.setAttribute("aria-pressed", String(layer === shown));
    shape.setAttribute("tabindex", "-1");
  }
  for (const edge of drawing.edges) {
    edge.path.classList.toggle("into", Boolean(box) && edge.to === box);
    edge.path.classList.toggle("outof", Boolean(box) && edge.from === box);
  }
  const reachable = drawing.layers.get(shown || NETWORK.layers[0]);
  reachable?.setAttribute("tabindex", "0");
}

// The layer whose box an inline activation is a strip of.
function holder(layer) {
  return [...drawing.layers.keys()].find((each) => each.joined.includes(layer)) || layer;
}

function focusLayer() {
  drawing.layers.get(selected ? visible(selected) : NETWORK.layers[0])?.focus({ preventScroll: true });
}

// Keys

function below(layer) {
  if (layer.joined.length) return layer.joined[0];
  if (layer.open) return [...drawing.layers.keys()].find((each) => [...each.around()].includes(layer));
  for (let each = holder(layer); each; each = [...each.around()].find((one) => drawing.layers.has(one))) {
    const edge = drawing.edges.find((one) => one.from === each && one.to && !one.to.more);
    if (edge) return edge.to;
  }
  return null;
}

function above(layer) {
  if (holder(layer) !== layer) return holder(layer);
  const edge = drawing.edges.find((one) => one.to === layer && one.from && !one.from.more);
  if (edge) return edge.from.joined.length ? edge.from.joined[edge.from.joined.length - 1] : edge.from;
  return [...layer.around()].find((each) => drawing.layers.has(each)) || null;
}

// The nearest layer to one side.
function beside(layer, way) {
  const here = boxOf(layer);
  let best = null;
  let least = Infinity;
  for (const each of drawing.layers.keys()) {
    const there = boxOf(each);
    const distance = (there.x - here.x) * way;
    const cost = distance + 4 * Math.abs(there.y - here.y);
    if (each !== layer && distance > 12 * VIEW.scale && cost < least && Math.abs(there.y - here.y) < 2 * distance) [best, least] = [each, cost];
  }
  return best;
}

const WAYS = {
  ArrowDown: below, ArrowUp: above, ArrowLeft: (layer) => beside(layer, -1), ArrowRight: (layer) => beside(layer, 1),
};

function pressedInNetwork(event) {
  const here = selected ? visible(selected) : null;
  if (event.key in WAYS) {
    const next = here ? WAYS[event.key](here) : NETWORK.layers[0];
    if (next) {
      select(next, { from: "network" });
      bringIntoSight(next);
    }
  } else if ((event.key === "Enter" || event.key === " ") && (here || document.activeElement.closest(".more"))) {
    const more = document.activeElement.closest(".more");
    if (more) more.dispatchEvent(new MouseEvent("click"));
    else if (here.foldable) toggle(here);
  } else {
    return;
  }
  focusLayer();
  event.preventDefault();
  event.stopPropagation();
}

const KEYS = {
  "/": ["search by name, kind or shape; Enter goes through what is found", () => document.getElementById("search").focus()],
  f: ["show the whole network", fit],
  "+": ["larger", () => zoom(1.2)],
  "-": ["smaller", () => zoom(1 / 1.2)],
  e: ["unfold all", () => foldAll(true)],
  c: ["fold all", () => foldAll(false)],
  m: ["the next figure on the layers", () => choose((metric + 1) % METRICS.length)],
  n: ["the next place of the layer in each source", () => PANES.forEach((pane) => pane.step(1))],
  p: ["the place before", () => PANES.forEach((pane) => pane.step(-1))],
  t: ["dark or light", () => turnTheme()],
  "?": ["these keys", () => document.getElementById("keys").showModal()],
  Escape: ["select nothing", () => select(null, {})],
};

function watchKeys() {
  CANVAS.addEventListener("keydown", pressedInNetwork);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, dialog")) return;
    const number = Number(event.key);
    const key = event.key === "=" ? "+" : event.key;
    if (KEYS[key]) KEYS[key][1]();
    else if (number >= 1 && PANES[number - 1]) alone(PANES[number - 1]);
    else if (event.key === "0") alone(null);
    else return;
    event.preventDefault();
  });
}

function listKeys() {
  const rows = [
    ["← ↑ ↓ →", "go from layer to layer; in a source from line to line"],
    ["Enter", "fold or unfold; in a source select the layer of the line"],
    ...Object.entries(KEYS).map(([key, [meaning]]) => [key === "-" ? "−" : key, meaning]),
    [`1 … ${PANES.length}`, "one source alone, and all again"],
    ["drag, wheel", "move; with Ctrl the wheel zooms"],
  ];
  const close = html("button", { type: "button" }, "Close");
  const dialog = document.getElementById("keys");
  close.addEventListener("click", () => dialog.close());
  dialog.append(html("h2", {}, "Keys"),
    html("dl", {}, ...rows.flatMap(([key, meaning]) => [html("dt", {}, html("kbd", {}, key)), html("dd", {}, meaning)])), close);
}

// The frame

function choose(index) {
  metric = index;
  [...document.getElementById("metric").children].forEach((each, at) => each.setAttribute("aria-pressed", String(at === index)));
  redraw();
}

function turnTheme() {
  const root = document.documentElement;
  const dark = getComputedStyle(root).getPropertyValue("color-scheme").trim() === "dark" ||
    (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = dark ? "light" : "dark";
}

function watchFrame() {
  for (const [index, name] of METRICS.entries()) {
    const button = html("button", { type: "button" }, name);
    button.addEventListener("click", () => choose(index));
    document.getElementById("metric").append(button);
  }
  const actions = {
    theme: turnTheme, help: KEYS["?"][1], unfold: () => foldAll(true), fold: () => foldAll(false),
    in: () => zoom(1.25), out: () => zoom(1 / 1.25), fit,
  };
  for (const [name, act] of Object.entries(actions)) document.getElementById(name).addEventListener("click", act);
  const split = document.getElementById("split");
  const set = (share) => document.body.style.setProperty("--left", `${Math.min(80, Math.max(20, share))}%`);
  split.addEventListener("pointerdown", (event) => split.setPointerCapture(event.pointerId));
  split.addEventListener("pointermove", (event) => event.buttons && set((100 * event.clientX) / innerWidth));
  split.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -3, ArrowRight: 3 }[event.key];
    if (by) set((100 * split.getBoundingClientRect().left) / innerWidth + by);
  });
}

function start() {
  showTotals();
  showLegend();
  listKeys();
  document.getElementById("sources").append(...PANES.map((each) => each.element));
  linkPanes();
  showBeginnings();
  watchFrame();
  watchCanvas();
  watchSearch();
  watchKeys();
  if (DATA.unfolded) for (const layer of LAYERS) layer.open = layer.foldable;
  choose(0);
  fit();
  const [wanted] = PLACES.get(decodeURIComponent(location.hash.slice(1))) || [];
  if (wanted) select(wanted, {});
}

start();
