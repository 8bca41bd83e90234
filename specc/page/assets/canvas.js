// The canvas: what is drawn now, where one looks at it, and which figure the layers show.

const CANVAS = document.getElementById("canvas");
const STAGE = svg("g");
const VIEW = { x: 0, y: 0, scale: 1 };
const METRICS = ["Parameters", "FLOPs", "Memory"];
let metric = 0;
let drawing = null; // {layout, layers, edges}

CANVAS.append(
  svg("defs", {}, svg("marker", {
    id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto", markerUnits: "userSpaceOnUse",
  }, svg("path", { d: "M0 0.5L8 4L0 7.5z" }))),
  STAGE,
);

function figureOf(layer) {
  const [value, shown] = layer.figures[metric];
  const whole = NETWORK.layers.reduce((all, each) => all + (Number(each.figures[metric][0]) || 0), 0);
  return { text: value ? shown : "", share: Number.isFinite(value) && whole ? value / whole : 0 };
}

function redraw() {
  const drawn = { layers: new Map(), edges: [] };
  const layout = layOut(insideOf(null), figureOf);
  drawing = { layout, ...drawn };
  STAGE.replaceChildren(draw(layout, drawn));
  showSelection();
  showMatches();
}

// Draws anew after a change, with `layer` at the same place of the screen.
function change(layer, how) {
  const before = boxOf(visible(layer));
  how();
  redraw();
  const after = boxOf(visible(layer));
  if (before && after) moveBy(before.x - after.x, before.y - after.y);
}

// The screen's place of a layer: its middle and top.
function boxOf(layer) {
  const shape = drawing.layers.get(layer);
  const face = shape && shape.querySelector(".face");
  if (!face) return null;
  const box = face.getBoundingClientRect();
  return { x: box.x + box.width / 2, y: box.y, width: box.width, height: box.height };
}

function toggle(layer) {
  change(layer, () => { layer.open = !layer.open; });
}

function foldAll(open) {
  const every = [...LAYERS, ...LAYERS.flatMap((each) => each.bodies.map((body) => body.pass).filter(Boolean))];
  for (const layer of every) {
    layer.open = open && layer.foldable;
    layer.all = false;
  }
  redraw();
  fit();
}

// Looking

function look(x, y, scale) {
  Object.assign(VIEW, { x, y, scale });
  STAGE.setAttribute("transform", `translate(${x.toFixed(2)} ${y.toFixed(2)}) scale(${scale.toFixed(4)})`);
  CANVAS.style.setProperty("--grid", `${24 * scale}px`);
  CANVAS.style.backgroundPosition = `${x}px ${y}px`;
}

function moveBy(x, y) {
  look(VIEW.x + x, VIEW.y + y, VIEW.scale);
}

function zoom(by, x = CANVAS.clientWidth / 2, y = CANVAS.clientHeight / 2) {
  const scale = Math.min(3, Math.max(0.05, VIEW.scale * by));
  const ratio = scale / VIEW.scale;
  look(x - (x - VIEW.x) * ratio, y - (y - VIEW.y) * ratio, scale);
}

// All of it if that can be read, else its top.
function fit() {
  const { width, height } = drawing.layout;
  const [roomX, roomY] = [CANVAS.clientWidth - 48, CANVAS.clientHeight - 116];
  const whole = Math.min(roomX / width, roomY / height);
  const scale = Math.min(1.1, Math.max(whole, Math.min(0.62, roomX / width)));
  const y = scale > whole ? 64 : 64 + (roomY - height * scale) / 2;
  look((CANVAS.clientWidth - width * scale) / 2, y, scale);
}

// Moves as little as brings a layer into sight.
function bringIntoSight(layer) {
  const box = boxOf(layer);
  if (!box) return;
  const frame = CANVAS.getBoundingClientRect();
  const aside = document.getElementById("details");
  const covered = aside.hidden ? 0 : aside.getBoundingClientRect().height + 12;
  const room = { left: frame.left + 24, right: frame.right - 24, top: frame.top + 60, bottom: frame.bottom - 48 - covered };
  const [left, right, top] = [box.x - box.width / 2, box.x + box.width / 2, box.y];
  const bottom = top + Math.min(box.height, 120 * VIEW.scale);
  const outside = left < room.left || right > room.right || top < room.top || bottom > room.bottom;
  if (outside) moveBy((room.left + room.right) / 2 - box.x, (room.top + room.bottom) / 2 - (top + bottom) / 2);
}

function watchCanvas() {
  let grip = null;
  CANVAS.addEventListener("wheel", (event) => {
    event.preventDefault();
    const frame = CANVAS.getBoundingClientRect();
    const unit = event.deltaMode === 1 ? 18 : 1;
    if (event.ctrlKey || event.metaKey) {
      zoom(Math.exp(-event.deltaY * unit * 0.006), event.clientX - frame.left, event.clientY - frame.top);
    } else {
      moveBy(-event.deltaX * unit, -event.deltaY * unit);
    }
  }, { passive: false });
  CANVAS.addEventListener("pointerdown", (event) => {
    if (event.button === 0) grip = { x: event.clientX, y: event.clientY, moved: false };
  });
  CANVAS.addEventListener("pointermove", (event) => {
    if (!grip || !(event.buttons & 1)) return;
    const [dx, dy] = [event.clientX - grip.x, event.clientY - grip.y];
    if (!grip.moved && Math.hypot(dx, dy) < 4) return;
    if (!grip.moved) CANVAS.setPointerCapture(event.pointerId);
    grip = { x: event.clientX, y: event.clientY, moved: true };
    CANVAS.classList.add("held");
    moveBy(dx, dy);
  });
  const release = () => {
    CANVAS.classList.remove("held");
    grip = null;
  };
  CANVAS.addEventListener("pointerup", (event) => {
    if (grip && !grip.moved && event.target === CANVAS) select(null, {});
    release();
  });
  CANVAS.addEventListener("pointercancel", release);
}
