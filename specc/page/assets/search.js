// The search: by name, kind or shape. What is found is highlighted, and Enter goes through it.

const MOST = 60;
let searched = "";
let matches = [];
let position = -1;

// 26x26x32, (26, 26, 32) and 26 × 26 × 32 are the same shape.
function normal(content) {
  return content.toLowerCase().replace(/(\d)\s*[x×,*]\s*(?=\d)/g, "$1 ").replace(/[()[\]]/g, "").trim();
}

function haystack(layer) {
  return normal(`${layer.path} ${layer.kind} ${layer.shown} ${layer.outputs.map(([, full]) => full).join(" ")}`);
}

function search(wanted, jump = false) {
  searched = wanted;
  const input = document.getElementById("search");
  if (input.value !== wanted) input.value = wanted;
  const query = normal(wanted);
  const terms = query.split(/\s+/);
  const suits = (layer) => {
    if (query.startsWith("is:")) return layer.family === query.slice(3);
    const hay = haystack(layer);
    return hay.includes(query) || terms.every((term) => hay.includes(term));
  };
  matches = query ? LAYERS.filter(suits) : [];
  position = -1;
  listMatches();
  showMatches();
  if (jump && matches.length) bringIntoSight(visible(matches[0]));
}

function listMatches() {
  const list = document.getElementById("results");
  const input = document.getElementById("search");
  const shown = Boolean(searched) && document.activeElement === input;
  list.hidden = !shown;
  input.setAttribute("aria-expanded", String(shown));
  const items = matches.slice(0, MOST).map((layer, index) => {
    const item = html("li", { role: "option", id: `found${index}`, "aria-selected": String(index === position) },
      html("i", { class: "swatch", "data-family": layer.family }), html("b", {}, shortened(layer.path, 44)),
      html("span", {}, layer.shown), html("small", {}, layer.outputs[0] ? layer.outputs[0][0] : ""));
    item.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      jumpTo(index);
    });
    return item;
  });
  const more = matches.length - items.length;
  const note = !matches.length ? "No layer of this name, kind or shape" : more > 0 ? `and ${more} more` : "";
  list.replaceChildren(...items, ...(note ? [html("li", { class: "note" }, note)] : []));
  if (position >= 0) input.setAttribute("aria-activedescendant", `found${position}`);
  else input.removeAttribute("aria-activedescendant");
}

function jumpTo(index) {
  if (!matches.length) return;
  position = (index + matches.length) % matches.length;
  select(matches[position], {});
  listMatches();
  document.getElementById(`found${position}`)?.scrollIntoView({ block: "nearest" });
}

// A folded layer is highlighted for what is in it.
function showMatches() {
  const found = new Set(matches.map(visible));
  for (const [layer, shape] of drawing.layers) shape.classList.toggle("match", found.has(layer));
  CANVAS.classList.toggle("searching", matches.length > 0);
}

function watchSearch() {
  const input = document.getElementById("search");
  input.addEventListener("input", () => search(input.value));
  input.addEventListener("focus", listMatches);
  input.addEventListener("blur", listMatches);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === "ArrowDown") jumpTo(position + (event.shiftKey ? -1 : 1));
    else if (event.key === "ArrowUp") jumpTo(position < 0 ? -1 : position - 1);
    else if (event.key === "Escape") {
      search("");
      CANVAS.focus();
      focusLayer();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
