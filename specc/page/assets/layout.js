// Where everything stands: rows from top to bottom, after Sugiyama (1981). An edge that passes rows
// has a lane in each, rows are ordered by the places of their neighbours, and a row's places are
// those nearest to its neighbours' that leave everything apart. A layer that is unfolded is laid out
// by itself first, and is then one large box.

const SIZE = {
  gapX: 26, gapY: 40, stub: 16, pad: 20, head: 30, card: 46, strip: 22, pill: 28, port: 20, lane: 10, bottom: 20, maxName: 30,
};
const FONT = {
  name: '600 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif',
  note: '11.5px system-ui, "Segoe UI", Helvetica, Arial, sans-serif',
};
const PEN = document.createElement("canvas").getContext("2d");
const WIDTHS = new Map();

function measure(text, font) {
  const key = `${font}\u0000${text}`;
  if (!WIDTHS.has(key)) {
    PEN.font = font;
    WIDTHS.set(key, PEN.measureText(text).width);
  }
  return WIDTHS.get(key);
}

// Long names keep their beginning and their end.
function shortened(text, most = SIZE.maxName) {
  return text.length <= most ? text : `${text.slice(0, Math.ceil(most / 2) - 1)}…${text.slice(1 - Math.floor(most / 2))}`;
}

function layOut(inside, figureOf, top = true) {
  const { elements, edges } = collect(inside, figureOf, top);
  const rows = intoRows(elements, edges, top);
  const links = lanes(elements, edges, rows);
  order(rows, links);
  place(rows);
  return finish(elements, edges, rows, top);
}

// Boxes and edges

function collect(inside, figureOf, top) {
  const elements = [];
  const boxOf = new Map();
  const add = (element) => elements.push(element) && element;
  const inputs = inside.inputs.map(([name, shape, full], index) =>
    add({
      type: "input", name, shape, full, index,
      w: measure(shortened(name), top ? FONT.name : FONT.note) + (top ? 30 : 18),
      h: top ? SIZE.pill : SIZE.port,
    }));
  const items = inside.items || inside.layers.map((layer) => ({ layer, sources: layer.sources }));
  const edges = [];
  const seen = new Set();
  const connect = (source, target, into) => {
    const from = source.from ? boxOf.get(source.from) : inputs[source.input];
    const port = source.from ? source.port : 0;
    const shape = source.from ? source.from.outputs[source.port] : [from.shape, from.full];
    const key = `${elements.indexOf(from)} ${port} ${elements.indexOf(target)} ${target.inner ? into : ""}`;
    if (seen.has(key)) return;
    seen.add(key);
    edges.push({ from, port, to: target, into, shape });
  };
  for (const { layer, sources } of items) {
    if (layer.more) {
      boxOf.set(layer, add({ type: "more", layer, w: 190, h: SIZE.pill }));
    } else if (!items.some((each) => each.layer.joined && each.layer.joined.includes(layer))) {
      boxOf.set(layer, add(boxFor(layer, figureOf)));
    } else { // an inline activation is a strip of its layer's box
      boxOf.set(layer, boxOf.get(sources[0].from));
      continue;
    }
    sources.forEach((source, into) => connect(source, boxOf.get(layer), into));
  }
  inside.outputs.forEach((source, index) => {
    const name = top ? source.name : "";
    const w = top ? measure(shortened(name), FONT.name) + 30 : SIZE.lane;
    connect(source, add({ type: "output", name, index, w, h: top ? SIZE.pill : 0, open: !top }), 0);
  });
  return { elements, edges };
}

function boxFor(layer, figureOf) {
  const figure = figureOf(layer);
  const name = measure(shortened(layer.name), FONT.name);
  const note = measure(shortened(layer.shown), FONT.note);
  const label = Math.max(0, ...layer.outputs.map(([shape]) => measure(shape, FONT.note)));
  const value = figure.text ? measure(figure.text, FONT.note) + 16 : 0;
  if (layer.open) {
    const inner = layOut(insideOf(layer), figureOf, false);
    const head = name + note + value + 74;
    const w = Math.max(inner.width, head);
    return { type: "group", layer, figure, inner, shift: (w - inner.width) / 2, w, h: SIZE.head + inner.height };
  }
  // Each result's shape stands to the right of its edge, below the box.
  const labels = 2 * (label + 12) * layer.outputs.length;
  const w = Math.max(112, name + (layer.foldable ? 52 : 28), note + value + 30, Math.min(labels, 420));
  return { type: "card", layer, figure, w, h: SIZE.card + SIZE.strip * layer.joined.length };
}

// Rows

function intoRows(elements, edges, top) {
  const pinned = !top && elements.some((each) => each.type === "input") ? 1 : 0;
  for (const each of elements) each.row = each.type === "input" ? 0 : pinned;
  for (const each of elements) { // they are in topological order
    for (const edge of edges) if (edge.to === each) each.row = Math.max(each.row, edge.from.row + 1);
  }
  if (top) {
    for (const each of elements.filter((one) => one.type === "input")) {
      const below = edges.filter((edge) => edge.from === each).map((edge) => edge.to.row);
      each.row = Math.max(0, Math.min(...below) - 1);
      if (!below.length) each.row = 0;
    }
  }
  const last = Math.max(0, ...elements.map((each) => each.row));
  for (const each of elements) if (each.type === "output") each.row = last;
  const rows = Array.from({ length: last + 1 }, () => []);
  for (const each of elements) rows[each.row].push(each);
  return rows;
}

function lanes(elements, edges, rows) {
  const links = [];
  for (const edge of edges) {
    edge.lanes = [];
    let above = edge.from;
    for (let row = edge.from.row + 1; row < edge.to.row; row += 1) {
      const lane = { type: "lane", row, w: SIZE.lane, h: 0 };
      rows[row].push(lane);
      edge.lanes.push(lane);
      links.push({ above, below: lane, edge });
      above = lane;
    }
    links.push({ above, below: edge.to, edge });
  }
  for (const each of rows.flat()) Object.assign(each, { up: [], down: [] });
  for (const link of links) {
    link.above.down.push(link);
    link.below.up.push(link);
  }
  return links;
}

function order(rows, links) {
  const number = () => rows.forEach((row) => row.forEach((each, index) => { each.place = index; }));
  number();
  let best = rows.map((row) => [...row]);
  let fewest = crossings(rows);
  for (let sweep = 0; sweep < 12 && fewest; sweep += 1) {
    const down = sweep % 2 === 0;
    for (const row of down ? rows : [...rows].reverse()) {
      for (const each of row) {
        const near = down ? each.up.map(upperEnd) : each.down.map((l) => l.below.place);
        each.key = near.length ? near.reduce((a, b) => a + b, 0) / near.length : each.place;
      }
      row.sort((a, b) => a.key - b.key || a.place - b.place);
      row.forEach((each, index) => { each.place = index; });
    }
    const found = crossings(rows);
    if (found < fewest) [fewest, best] = [found, rows.map((row) => [...row])];
  }
  rows.forEach((row, index) => row.splice(0, row.length, ...best[index]));
  number();
}

// The place of a link's upper end: of several results of a layer each has its own.
function upperEnd(link) {
  return link.above.place + leave(link) / link.above.w;
}

function crossings(rows) {
  let count = 0;
  for (const row of rows) {
    const all = row.flatMap((each) => each.down);
    all.forEach((a, index) => {
      for (const b of all.slice(0, index)) {
        if ((upperEnd(a) - upperEnd(b)) * (a.below.place - b.below.place) < 0) count += 1;
      }
    });
  }
  return count;
}

// Places in a row

function place(rows) {
  for (const row of rows) {
    let x = 0;
    for (const each of row) {
      each.x = x + each.w / 2;
      x += each.w + SIZE.gapX;
    }
  }
  // Every sweep goes one way only, so that chains stay straight; the last one goes down.
  for (let sweep = 0; sweep < 13; sweep += 1) {
    const down = sweep % 2 === 0;
    for (const row of down ? rows : [...rows].reverse()) settle(row, down);
  }
}

function settle(row, down) {
  spreadPorts(row);
  for (const each of row) {
    const links = down ? each.up : each.down;
    // What comes from far goes round: a box stands below the boxes right above it.
    const direct = links.filter((link) => (down ? link.above : link.below).type !== "lane");
    const wishes = (direct.length ? direct : links).map((link) =>
      down ? link.above.x + leave(link) - arrive(link) : link.below.x + arrive(link) - leave(link));
    each.wish = wishes.length ? wishes.reduce((a, b) => a + b, 0) / wishes.length : each.x;
    each.pull = !wishes.length ? 0.01 : each.type === "lane" ? 0.3 : 1;
  }
  apart(row);
}

// The places nearest to what is wished, by the sum of squares, at which nothing overlaps: isotonic
// regression by pooling adjacent violators.
function apart(row) {
  let offset = 0;
  const pools = [];
  row.forEach((each, index) => {
    if (index) offset += (row[index - 1].w + each.w) / 2 + SIZE.gapX;
    each.offset = offset;
    pools.push({ sum: (each.wish - offset) * each.pull, weight: each.pull, members: [each] });
    while (pools.length > 1) {
      const [left, right] = pools.slice(-2);
      if (left.sum / left.weight <= right.sum / right.weight) break;
      pools.splice(-2, 2, {
        sum: left.sum + right.sum, weight: left.weight + right.weight, members: [...left.members, ...right.members],
      });
    }
  });
  for (const pool of pools) for (const each of pool.members) each.x = pool.sum / pool.weight + each.offset;
}

// Where edges touch a box, from its middle

function leave(link) {
  const box = link.above;
  if (box.type === "lane" || box.type === "input" || box.type === "more") return 0;
  if (box.type === "group") return box.inner.outs[link.edge.port] + box.shift - box.w / 2;
  const count = box.layer.outputs.length;
  return ((link.edge.port + 1) / (count + 1) - 0.5) * box.w;
}

function arrive(link) {
  const box = link.below;
  if (box.type === "group") return (box.inner.ins[link.edge.into] ?? box.inner.width / 2) + box.shift - box.w / 2;
  return box.type === "card" ? link.edge.touch || 0 : 0;
}

// Edges into a card arrive side by side, in the order in which they come.
function spreadPorts(row) {
  for (const each of row.filter((one) => one.type === "card")) {
    const into = [...each.up].sort((a, b) => a.above.x + leave(a) - (b.above.x + leave(b)));
    const step = Math.min(28, (each.w * 0.7) / Math.max(1, into.length));
    into.forEach((link, index) => { link.edge.touch = (index - (into.length - 1) / 2) * step; });
  }
}

// The drawing's own coordinates

function finish(elements, edges, rows, top) {
  const all = rows.flat();
  spreadPorts(all);
  const left = Math.min(...all.map((each) => each.x - each.w / 2));
  // A shape in a margin wants room beside its edge.
  const right = Math.max(...all.map((each) => each.x + each.w / 2),
    ...edges.map((edge) => edge.from.x + leave({ above: edge.from, edge }) + measure(edge.shape[0], FONT.note) + 8));
  const pad = top ? 0 : SIZE.pad;
  let y = 0;
  rows.forEach((row, index) => {
    const height = Math.max(0, ...row.map((each) => each.h));
    for (const each of row) Object.assign(each, { x: each.x - left + pad, y, bottom: y + height });
    y += height + (index < rows.length - 1 ? gapBelow(row, rows[index + 1]) : 0);
  });
  for (const edge of edges) edge.path = pathOf(edge);
  const ends = (type) => elements.filter((each) => each.type === type).map((each) => each.x);
  return { elements, edges, width: right - left + 2 * pad, height: y, ins: ends("input"), outs: ends("output") };
}

// Where edges go far to the side they need more room to turn.
function gapBelow(row, below) {
  const far = Math.max(0, ...row.flatMap((each) => each.down.map((link) => Math.abs(link.above.x - link.below.x))));
  const ending = below.every((each) => each.type === "lane" || (each.type === "output" && each.open));
  return (ending ? SIZE.gapY - 8 : SIZE.gapY) + Math.min(30, far / 14);
}

function pathOf(edge) {
  let x = edge.from.x + leave({ above: edge.from, edge });
  let y = edge.from.y + edge.from.h;
  edge.start = [x, y];
  let path = `M${x.toFixed(1)} ${y.toFixed(1)}V${edge.from.bottom.toFixed(1)}`;
  y = edge.from.bottom;
  if (!edge.to.open) { // its shape stands beside the beginning
    y += SIZE.stub;
    path += `V${y.toFixed(1)}`;
  }
  for (const each of [...edge.lanes, edge.to]) {
    const last = each === edge.to;
    const tx = each.x + (last ? arrive({ below: each, edge }) : 0);
    const ty = each.y - (last && !each.open ? 1.5 : 0);
    const middle = (y + ty) / 2;
    path += Math.abs(tx - x) < 0.6
      ? `V${ty.toFixed(1)}`
      : `C${x.toFixed(1)} ${middle.toFixed(1)} ${tx.toFixed(1)} ${middle.toFixed(1)} ${tx.toFixed(1)} ${ty.toFixed(1)}`;
    if (!last) path += `V${each.bottom.toFixed(1)}`;
    [x, y] = [tx, last ? ty : each.bottom];
  }
  return path;
}
