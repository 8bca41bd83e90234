// The network as a tree of layers. A layer of a block is here once for each use of the block.

const DATA = JSON.parse(document.getElementById("data").textContent);
const LAYERS = []; // in the order of the figures
const PLACES = new Map(); // path -> layers; a block that is called twice has two of each

class Layer {
  constructor(spec, prefix, parent) {
    Object.assign(this, { spec, parent, open: false, all: false, children: [], joined: [] });
    this.path = prefix + spec.path;
    this.name = spec.path;
    this.kind = spec.kind;
    this.shown = spec.shown;
    this.role = spec.bodies.length === 0 ? "layer" : spec.kind === "repeat" ? "repeat" : "block";
    this.family = this.role === "layer" ? (DATA.kinds[spec.kind] || ["other"])[0] : this.role;
    this.outputs = spec.outputs;
    this.lines = spec.lines;
    this.sources = []; // {from: a layer, port} or {input}
  }

  get foldable() {
    return this.role !== "layer";
  }

  // The layers around this one, the innermost first.
  *around() {
    for (let each = this.parent; each; each = each.parent) yield each;
  }
}

// One pass of a repeat.
class Pass extends Layer {
  constructor(path, index, graph, parent) {
    const outputs = graph.outputs.map(([, from]) =>
      from[0] < 0 ? graph.inputs[-1 - from[0]].slice(1) : graph.nodes[from[0]].outputs[from[1]]);
    const kind = graph.name === "repeat" ? "pass" : graph.name;
    super({ path, kind, shown: kind, bodies: [[path, 0]], outputs, attributes: [], tensors: [], lines: [] }, "", parent);
    this.name = `${parent.name}.${index}`;
    this.role = this.family = "block";
  }
}

function grow(number, prefix, parent) {
  const graph = DATA.graphs[number];
  const made = graph.nodes.map((spec) => {
    const layer = new Layer(spec, prefix, parent);
    register(layer);
    layer.figures = DATA.figures[LAYERS.length];
    LAYERS.push(layer);
    const costs = layer.role === "repeat" ? DATA.passes.shift() : [];
    layer.bodies = spec.bodies.map(([child, inner], index) => {
      const pass = layer.role === "repeat" ? new Pass(`${prefix}${child}`, index, DATA.graphs[inner], layer) : null;
      const body = grow(inner, `${prefix}${child}.`, pass || layer);
      if (pass) Object.assign(pass, { bodies: [body], figures: costs[index] });
      return pass ? { ...body, pass } : body;
    });
    return layer;
  });
  graph.nodes.forEach((spec, index) => {
    made[index].sources = spec.inputs.map(([from, port]) => from < 0 ? { input: -1 - from } : { from: made[from], port });
    if (spec.joined) made[index - 1].joined.push(made[index]);
  });
  const outputs = graph.outputs.map(([name, [from, port]]) =>
    from < 0 ? { name, input: -1 - from } : { name, from: made[from], port });
  return { inputs: graph.inputs, layers: made, outputs };
}

function register(layer) {
  if (!PLACES.has(layer.path)) PLACES.set(layer.path, []);
  PLACES.get(layer.path).push(layer);
}

const NETWORK = grow(DATA.graphs.length - 1, "", null);
const FIRST = 2;
const SHORT = 6; // repeats of more passes show the first ones and the last

// What is drawn inside a layer: of a repeat its passes, one behind the other.
function insideOf(layer) {
  if (layer === null) return NETWORK;
  if (layer.role !== "repeat") return layer.bodies[0];
  const { inputs } = layer.bodies[0];
  let flow = inputs.map((_, index) => ({ input: index }));
  const chain = layer.bodies.map((body, index) => {
    const through = (source) => (source.from ? source : flow[source.input]);
    const lone = body.layers.length === 1;
    const shown = lone ? body.layers[0] : body.pass;
    if (lone) shown.name = `${index}.${shown.spec.path}`;
    const item = { layer: shown, sources: lone ? shown.sources.map(through) : flow };
    flow = lone ? body.outputs.map(through) : body.outputs.map((_, port) => ({ from: shown, port }));
    return { ...item, flow };
  });
  const outputs = layer.outputs.map((_, port) => ({ name: "", ...flow[port] }));
  if (layer.all || chain.length <= SHORT) return { inputs, outputs, items: chain };
  const last = chain[chain.length - 1];
  const before = chain[FIRST - 1].flow;
  const more = { more: layer, count: chain.length - FIRST - 1, outputs: before.map(shapeOf) };
  const behind = before.map((_, port) => ({ from: more, port }));
  const items = [
    ...chain.slice(0, FIRST),
    { layer: more, sources: before },
    { ...last, sources: last.sources.map((_, port) => behind[Math.min(port, behind.length - 1)]) },
  ];
  return { inputs, outputs, items };

  function shapeOf(source) {
    return source.from ? source.from.outputs[source.port] : inputs[source.input].slice(1);
  }
}

// Opens whatever hides a layer.
function reveal(layer) {
  let changed = false;
  for (const each of layer.around()) {
    if (!each.open && isDrawn(each)) {
      each.open = true;
      changed = true;
    }
    if (each.role === "repeat" && !each.all && each.bodies.length > SHORT && isElided(layer, each)) {
      each.all = true;
      changed = true;
    }
  }
  return changed;
}

// A pass with a single layer is not drawn: the layer stands in its place.
function isDrawn(layer) {
  return !(layer instanceof Pass) || layer.bodies[0].layers.length > 1;
}

function isElided(layer, repeat) {
  const own = [layer, ...layer.around()];
  const index = repeat.bodies.findIndex((body) => own.includes(body.pass));
  return index >= FIRST && index < repeat.bodies.length - 1;
}

// The layer itself, or the folded one that it is hidden in.
function visible(layer) {
  const outer = [...layer.around()].reverse();
  const hidden = outer.find((each) => isDrawn(each) && !each.open);
  return hidden || layer;
}
