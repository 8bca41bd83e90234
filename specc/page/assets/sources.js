// The spec and the generated files, side by side with the network: which lines belong to which layer.

const LINE = 18; // pixels, as in the style

class Pane {
  constructor(source, number) {
    Object.assign(this, { source, number, marked: [], at: 0, cursor: 0 });
    this.owners = []; // by line: layers, those of the fewest lines first
    this.ranges = new Map(); // layer -> [[first, last], ...]
    this.lines = [];
    this.element = this.build();
  }

  build() {
    const { title, name } = this.source;
    this.places = html("span", { class: "places" });
    const button = (label, hint, act) => {
      const made = html("button", { type: "button", title: hint, "aria-label": hint }, label);
      made.addEventListener("click", act);
      return made;
    };
    const head = html("div", { class: "head" },
      html("b", {}, title), html("span", { class: "file", title: name }, name), this.places,
      button("▴", "Place before", () => this.step(-1)), button("▾", "Next place", () => this.step(1)),
      button("⤢", `This one alone (${this.number})`, () => alone(this)));
    head.addEventListener("dblclick", () => alone(this));
    this.code = html("div", { class: "code", tabindex: "0", role: "listbox", "aria-label": `${title}, ${name}` });
    this.fill();
    this.code.addEventListener("click", (event) => this.clicked(event));
    this.code.addEventListener("keydown", (event) => this.pressed(event));
    return html("div", { class: "pane", "data-name": name }, head, this.code);
  }

  fill() {
    const { text: content, language } = this.source;
    const digits = String(content.split("\n").length).length;
    this.code.style.setProperty("--digits", `${digits}ch`);
    const lines = colour(content.replace(/\n$/, ""), language);
    const block = 60; // what is out of sight in a block costs no layout
    for (let start = 0; start < lines.length; start += block) {
      const part = lines.slice(start, start + block);
      const holder = html("div", { class: "part" });
      holder.style.setProperty("--lines", part.length);
      part.forEach((pieces, index) => {
        const line = html("div", { class: "line", role: "option", "data-line": start + index + 1 });
        for (const [kind, piece] of pieces) line.append(kind ? html("span", { class: kind }, piece) : piece);
        this.lines.push(line);
        holder.append(line);
      });
      this.code.append(holder);
    }
  }

  link(layer, ranges) {
    this.ranges.set(layer, ranges);
    for (const [first, last] of ranges) {
      for (let line = first; line <= last; line += 1) {
        (this.owners[line] ||= []).push({ layer, size: last - first });
        this.lines[line - 1]?.classList.add("linked");
      }
    }
  }

  // Where a layer is written, its inline activation with it. A block that has no place of its own is
  // where its layers are.
  of(layer) {
    const own = this.ranges.get(layer);
    const parts = own ? layer.joined : layer.bodies.flatMap((body) => body.pass || body.layers);
    const all = [...(own || []), ...parts.flatMap((each) => this.of(each))].sort((a, b) => a[0] - b[0]);
    const merged = [];
    for (const [first, last] of all) {
      const end = merged[merged.length - 1];
      if (end && first <= end[1] + 1) end[1] = Math.max(end[1], last);
      else merged.push([first, last]);
    }
    return merged;
  }

  show(layer, scroll) {
    for (const line of this.marked) line.classList.remove("marked", "first", "last");
    this.found = layer ? this.of(layer) : [];
    this.marked = [];
    for (const [first, last] of this.found) {
      for (let line = first; line <= last; line += 1) this.marked.push(this.lines[line - 1]);
      this.lines[first - 1].classList.add("first");
      this.lines[last - 1].classList.add("last");
    }
    for (const line of this.marked) line.classList.add("marked");
    this.at = 0;
    this.tell();
    if (scroll && this.found.length) this.goTo(0);
  }

  tell() {
    const count = this.found.length;
    this.places.textContent = !selected ? "" : count ? `${this.at + 1} of ${count}` : "not here";
  }

  step(by) {
    const count = this.found?.length;
    if (count) this.goTo((this.at + by + count) % count);
  }

  goTo(index) {
    this.at = index;
    const [first, last] = this.found[index];
    this.moveCursor(first);
    const height = LINE * Math.min(last - first + 1, 8);
    this.code.scrollTop = LINE * (first - 1) - Math.max(LINE, (this.code.clientHeight - height) / 2.5);
    this.code.scrollLeft = 0;
    this.tell();
  }

  moveCursor(line) {
    this.lines[this.cursor - 1]?.classList.remove("cursor");
    this.cursor = Math.min(Math.max(1, line), this.lines.length);
    this.lines[this.cursor - 1].classList.add("cursor");
  }

  clicked(event) {
    const line = event.target.closest(".line");
    if (!line || String(getSelection())) return; // text is being marked
    this.moveCursor(Number(line.dataset.line));
    this.choose(this.cursor);
  }

  // The layer of a line; of several uses of a block the one where the selected layer is.
  choose(line) {
    const owners = this.owners[line] || [];
    if (!owners.length) return;
    const least = Math.min(...owners.map((each) => each.size));
    const candidates = owners.filter((each) => each.size === least).map((each) => each.layer);
    const here = selected ? [selected, ...selected.around()] : [];
    const shared = (each) => [each, ...each.around()].filter((one) => here.includes(one)).length;
    const order = (each) => LAYERS.indexOf(each);
    select(candidates.sort((a, b) => shared(b) - shared(a) || order(a) - order(b))[0], { from: this });
  }

  pressed(event) {
    const page = Math.max(1, Math.floor(this.code.clientHeight / LINE) - 1);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -1e9, End: 1e9 };
    if (event.key in moves) {
      this.moveCursor(this.cursor + moves[event.key]);
      this.lines[this.cursor - 1].scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter" || event.key === " ") {
      this.choose(this.cursor);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}

const PANES = DATA.documents.map((source, index) => new Pane(source, index + 1));

// Before anything is selected the panes show where the network begins.
function showBeginnings() {
  for (const pane of PANES) {
    const first = pane.owners.findIndex((each) => each !== undefined);
    if (pane.source.language === "python" && first > 0) pane.code.scrollTop = LINE * (first - 4);
  }
}

function linkPanes() {
  const passes = LAYERS.flatMap((each) => each.bodies.map((body) => body.pass).filter(Boolean));
  for (const layer of [...LAYERS, ...passes]) {
    if (layer.lines.length) {
      const [file, first, last] = layer.lines;
      PANES[file].link(layer, [[first, last]]);
    }
  }
  for (const pane of PANES) {
    for (const [path, ranges] of Object.entries(pane.source.links)) {
      for (const layer of PLACES.get(path) || []) pane.link(layer, ranges);
      for (const pass of passes.filter((each) => each.path === path)) pane.link(pass, ranges);
    }
  }
}

// One pane alone, or all of them again.
function alone(pane) {
  const holder = document.getElementById("sources");
  const was = pane === null || holder.dataset.alone === String(pane.number);
  if (was) delete holder.dataset.alone;
  else holder.dataset.alone = String(pane.number);
  for (const each of PANES) each.element.hidden = !was && each !== pane;
  for (const each of PANES) if (each.found?.length && !each.element.hidden) each.goTo(each.at);
}
