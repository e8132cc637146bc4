"use strict";
// What stands on the page. It sets text, never HTML, and does no work of the network itself: see host.js.

const model = JSON.parse(document.getElementById("model").textContent);
const at = (id) => document.getElementById(id);
const BARS = 6, LEVELS = 9, BITS_A_LEVEL = 0.9; // likely characters or words; tones of a colour
const MODES = ["write", "compare", "together", "measure"], COLOURS = ["surprise", "unit", "none"];
const SETTINGS = ["temperature", "top-k", "top-p", "pace"]; // that change while it writes
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches, framed = window.top !== window.self;
const signs = new Map([[" ", "␣"], ["\n", "↵"], ["\t", "⇥"]]), idOf = new Map(model.vocabulary.map((code, id) => [code, id]));

const view = {
  mode: "write", colour: "surprise", ready: false, writing: false, run: 0, words: false,
  temperatures: [0.3, 0.8, 1.2], // of the three lanes
  unit: { layer: 1, signal: "hidden", unit: 0 },
  found: null, // the cell of that unit, where it is one of those found
  selected: null, // { lane, position } of the character pointed at
  influence: null, // { lane, position, first, influences, target }
  asked: null, texts: [], // which bars were asked for last, and texts to be shown in the next frame
};
let panels = [], host = null;

/** Make an element; text goes in as text. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** One character as a person reads it: blanks and control characters as pictures. */
function sign(character) {
  const code = character.codePointAt(0);
  if (signs.has(character)) return signs.get(character);
  if (code < 32) return String.fromCodePoint(0x2400 + code);
  if (code === 127) return "␡";
  return (code >= 128 && code < 160) || (code >= 0xd800 && code < 0xe000) ? "\ufffd" : character;
}

const spelled = (text) => Array.from(text, sign).join("");

/** The text of ids: where they are bytes, UTF-8. */
function textOf(ids) {
  const codes = ids.map((id) => model.vocabulary[id]);
  return model.as_bytes ? new TextDecoder().decode(Uint8Array.from(codes)) : codes.map((code) => String.fromCodePoint(code)).join("");
}

/** How many bytes from `first` on make one character; 0 where it is not whole yet. */
function characterLength(ids, first) {
  if (!model.as_bytes) return 1;
  const lead = model.vocabulary[ids[first]], length = lead < 0xc2 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 1;
  for (let i = 1; i < length; i++) {
    if (first + i >= ids.length) return 0;
    if (model.vocabulary[ids[first + i]] >> 6 !== 2) return 1;
  }
  return length;
}

/** Turn a person's text into ids; characters that the network lacks become its unknown token, or are left out. */
function encode(text) {
  const codes = model.as_bytes ? Array.from(new TextEncoder().encode(text)) : Array.from(text, (character) => character.codePointAt(0));
  const ids = [], missing = new Set();
  for (const code of codes) {
    const lower = String.fromCodePoint(code).toLowerCase();
    const id = idOf.has(code) ? idOf.get(code) : model.as_bytes || lower.length !== 1 ? undefined : idOf.get(lower.codePointAt(0));
    if (id !== undefined) ids.push(id);
    else if (model.mark !== null) ids.push(model.mark);
    if (!idOf.has(code)) missing.add(model.as_bytes ? `byte ${code}` : spelled(String.fromCodePoint(code)));
  }
  const named = Array.from(missing).slice(0, 12).join(" ");
  const fate = model.mark !== null ? "read as its unknown token, or in lower case" : "left out, or read in lower case";
  at("note").textContent = missing.size ? `The network does not know ${named}${missing.size > 12 ? " …" : ""}: ${fate}.` : "";
  return ids;
}

/** A text on the page, a span for each character. */
class Panel {
  constructor(lane) {
    this.lane = lane;
    const ariaLabel = "The text. Arrow keys go through it, character by character.";
    this.text = element("div", { className: "text", tabIndex: 0, role: "textbox", ariaReadOnly: "true", ariaMultiLine: "true", ariaLabel });
    this.root = element("div", { className: "panel" }, this.text);
    if (view.mode === "compare") this.root.prepend(this._slider());
    this.text.addEventListener("pointermove", (event) => event.pointerType === "mouse" && !view.writing && this._point(event));
    this.text.addEventListener("click", (event) => this._point(event));
    this.text.addEventListener("keydown", (event) => this._key(event));
    this.text.addEventListener("scroll", ({ target }) => (this.low = target.scrollHeight - target.scrollTop - target.clientHeight < 60));
    Object.assign(this, { low: true, ids: [], losses: [], values: [], tokens: [], whole: 0 });
  }

  _slider() {
    const shown = element("output", { textContent: view.temperatures[this.lane].toFixed(2) });
    const range = { type: "range", min: 0, max: 2, step: 0.05, value: view.temperatures[this.lane] };
    const slider = element("input", { ...range, ariaLabel: `Temperature ${this.lane + 1}` });
    slider.addEventListener("input", () => {
      view.temperatures[this.lane] = Number(slider.value);
      shown.textContent = view.temperatures[this.lane].toFixed(2);
      sendSettings();
    });
    return element("p", { className: "slider" }, element("label", {}, "Temperature "), shown, slider);
  }

  add({ from, ids, losses, values }) {
    this.cut(from);
    this.ids.push(...ids);
    this.losses.push(...losses);
    this.values.push(...(values || ids.map(() => 0)));
    for (let length; this.whole < this.ids.length && (length = characterLength(this.ids, this.whole)); this.whole += length) {
      this._token(this.whole, this.whole + length);
    }
  }

  _token(first, end) {
    const text = textOf(this.ids.slice(first, end)), last = this.tokens[this.tokens.length - 1];
    const span = element("span", { textContent: text === "\n" ? "" : " \t".includes(text) ? text : spelled(text) });
    span.token = { span, first, end, lineEnd: text === "\n", given: end <= this.given };
    if (!last || last.lineEnd) this.text.append(element("div"));
    this.text.lastChild.append(span);
    this.tokens.push(span.token);
    this._paint(span.token);
  }

  cut(position) {
    for (const list of [this.ids, this.losses, this.values]) list.length = Math.min(list.length, position);
    while (this.tokens.length && this.tokens[this.tokens.length - 1].end > position) {
      const { span } = this.tokens.pop(), line = span.parentNode;
      span.remove();
      if (!line.hasChildNodes()) line.remove();
    }
    this.whole = this.tokens.length ? this.tokens[this.tokens.length - 1].end : 0;
  }

  _paint({ span, first, end, lineEnd, given }) {
    const strength = this._strength(first, end), level = Math.min(LEVELS, Math.round(Math.abs(strength) * LEVELS));
    const here = view.selected && view.selected.token.span === span;
    const kind = level ? `${strength > 0 ? "hot" : "cold"} l${level}` : "";
    span.className = `${kind}${lineEnd ? " break" : ""}${given ? " given" : ""}${here ? " here" : ""}`;
  }

  /** From -1 to 1: how strongly a character is coloured, and which way. */
  _strength(first, end) {
    const { influence } = view;
    if (influence && influence.lane === this.lane) {
      const found = influence.influences.slice(Math.max(0, first - influence.first), Math.max(0, end - influence.first));
      const largest = influence.influences.reduce((a, b) => Math.max(a, Math.abs(b)), 0.2);
      return found.reduce((a, b) => a + b, 0) / largest;
    }
    if (view.colour === "unit") return this.values[end - 1] * (view.found ? view.found.direction : 1);
    if (view.colour === "none") return 0;
    return this.losses.slice(first, end).reduce((a, b) => a + b, 0) / Math.LN2 / (LEVELS * BITS_A_LEVEL);
  }

  _point({ target, type }) {
    if (target.token || type === "click") select(this, target.token || null);
  }

  _key(event) {
    const count = this.tokens.length, current = view.selected && view.selected.lane === this.lane;
    let place = current ? this.tokens.findIndex((token) => token.end - 1 === view.selected.position) : count;
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -count, End: count };
    if (event.key === "Escape") return select(this, null);
    if (event.key >= "1" && event.key <= String(BARS)) return at("bars").children[event.key - 1].firstChild.click();
    if (event.key === "ArrowUp" || event.key === "ArrowDown") place = this._otherLine(place, event.key === "ArrowUp" ? -1 : 1);
    else if (event.key in steps) place += steps[event.key];
    else return;
    event.preventDefault();
    if (count) select(this, this.tokens[Math.max(0, Math.min(count - 1, place))]);
  }

  /** The character in the line above or below one, as far into it. */
  _otherLine(place, way) {
    const { span } = this.tokens[Math.min(place, this.tokens.length - 1)], line = span.parentNode;
    const other = way < 0 ? line.previousSibling : line.nextSibling, column = Array.from(line.children).indexOf(span);
    return other ? this.tokens.indexOf(other.children[Math.min(column, other.children.length - 1)].token) : place;
  }
}

/** Point at a character of a text, or at its end. */
function select(panel, token) {
  if (view.selected && view.selected.token === token) return;
  if (view.selected) view.selected.token.span.classList.remove("here");
  view.selected = token && { lane: panel.lane, position: token.end - 1, token };
  if (view.influence) repaint(null);
  if (!token) return askNext();
  token.span.classList.add("here");
  token.span.scrollIntoView({ block: "nearest" });
  askNext();
}

/** Where the bars stand: after the character pointed at, or at the end of the first text. */
function place() {
  const { selected } = view;
  return selected ? { lane: selected.lane, position: selected.position + 1 } : { lane: 0, position: panels[0].ids.length };
}

function askNext() {
  if (!view.ready || !panels.length) return;
  const words = view.words && !view.writing;
  view.asked = { ...place(), words };
  host.post({ kind: "next", ...view.asked, wanted: BARS });
}

function showNext({ lane, position, found, words }) {
  const { asked } = view, panel = panels[lane];
  if (!asked || asked.lane !== lane || asked.position !== position || asked.words !== words) return;
  const came = panel.ids.slice(position), bars = Array.from(at("bars").children);
  bars.forEach((item, i) => {
    const [bar, , shown, chance] = item.firstChild.children, [ids, share] = found[i] || [[], 0];
    item.hidden = !found[i];
    item.firstChild.ids = ids;
    item.firstChild.className = ids.length && ids.every((id, n) => id === came[n]) ? "came" : "";
    bar.style.transform = `scaleX(${share})`;
    const lone = model.as_bytes && ids.length === 1 && model.vocabulary[ids[0]] > 127;
    shown.textContent = lone ? `byte ${model.vocabulary[ids[0]].toString(16)}` : spelled(textOf(ids));
    chance.textContent = percent(share);
  });
  const before = spelled(textOf(panel.ids.slice(Math.max(0, position - 12), position)));
  at("next-title").textContent = view.selected ? `What might have come after “${before}”` : "What may come next";
  at("reading").textContent = view.selected ? reading(panel, position) : "Point at a character, or use the arrow keys in the text.";
}

const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

/** Say how surprising the character before a position was. */
function reading(panel, position) {
  const token = panel.tokens.find(({ end }) => end === position), nats = panel.losses.slice(token.first, token.end);
  const shown = `“${spelled(textOf(panel.ids.slice(token.first, token.end)))}”`;
  if (nats.includes(null)) return `${shown} is the first character: nothing predicts it.`;
  const total = nats.reduce((a, b) => a + b, 0), unit = view.colour === "unit" ? ` The unit is at ${panel.values[position - 1].toFixed(2)}.` : "";
  return `${shown} had a chance of ${percent(Math.exp(-total))}: ${(total / Math.LN2).toFixed(1)} bits.${unit}`;
}

function take(ids) {
  const until = view.mode === "together" ? at("then").value : null, where = place();
  view.selected = null;
  repaint(null);
  host.post({ kind: "take", ...where, ids, until, count: until ? 400 : view.mode === "write" ? Number(at("length").value) : 0 });
}

/** Three lanes where temperatures are compared, else one, with the settings of the page. */
function lanes() {
  const [topK, topP, single] = ["top-k", "top-p", "temperature"].map((name) => Number(at(name).value));
  return (view.mode === "compare" ? view.temperatures : [single]).map((temperature) => ({ temperature, topK, topP }));
}

const pace = () => Number(at("pace").value) || Infinity;

function sendSettings() {
  at("temperature-shown").textContent = Number(at("temperature").value).toFixed(2);
  at("top-k-shown").textContent = Number(at("top-k").value) >= model.vocabulary.length ? "all" : at("top-k").value;
  at("top-p-shown").textContent = Number(at("top-p").value).toFixed(2);
  if (view.ready && panels.length) host.post({ kind: "settings", lanes: lanes(), pace: pace() });
}

/** Begin anew with the prompt, and write where the mode does. */
function begin(write = view.mode === "write" || view.mode === "compare") {
  const prompt = encode(at("prompt").value), seed = Math.max(0, Math.trunc(Number(at("seed").value)) || 0) >>> 0;
  Object.assign(view, { run: view.run + 1, selected: null, influence: null });
  panels = lanes().map((_, lane) => new Panel(lane));
  panels.forEach((panel) => (panel.given = view.mode === "measure" ? 0 : prompt.length));
  at("panels").replaceChildren(...panels.map(({ root }) => root));
  at("panels").className = view.mode;
  host.post({ kind: "begin", run: view.run, prompt, lanes: lanes(), seed, pace: pace(), count: write ? Number(at("length").value) : 0 });
  showWriting(false);
}

function go() {
  if (view.writing) return host.post({ kind: "stop" });
  if (view.mode === "measure" || !panels[0].ids.length) return begin();
  select(panels[0], null);
  host.post({ kind: "go", count: Number(at("length").value) });
}

function showWriting(on, { full = false, rate = 0 } = {}) {
  view.writing = on;
  at("go").textContent = on ? "Stop" : view.mode === "measure" ? "Measure" : panels[0].ids.length ? "Go on" : "Write";
  at("again").hidden = view.mode === "measure";
  panels.forEach(({ text }) => text.classList.toggle("busy", on));
  view.rate = !on && pace() === Infinity ? rate : 0;
  if (full) at("note").textContent = "A text of this page ends at 12,000 characters; start again for another.";
  showFigures();
  if (!on) askNext();
}

/** Show all characters that have come. */
function showTexts() {
  const texts = view.texts.splice(0).filter(({ run }) => run === view.run);
  for (const text of texts) panels[text.lane].add(text);
  for (const { text, low } of panels) if (low) text.scrollTop = 1e9;
  if (texts.length) showFigures();
  if (texts.length && !view.selected && (!view.writing || pace() <= 60)) askNext();
}

function showFigures() {
  const count = Math.max(...panels.map(({ ids }) => ids.length));
  const mean = (known) => known.reduce((a, b) => a + b, 0) / Math.LN2 / (known.length || 1);
  const bits = panels.map(({ losses }) => mean(losses.filter((loss) => loss !== null)).toFixed(2)).join(" · ");
  const usual = view.mode === "measure" && model.nats ? `; on text held out of its training ${(model.nats / Math.LN2).toFixed(2)}` : "";
  const rate = view.rate ? `; ${Math.round(view.rate).toLocaleString("en")} characters a second` : "";
  const shown = element(view.mode === "measure" ? "b" : "span", {}, bits);
  at("figures").replaceChildren(...(count ? [`${count.toLocaleString("en")} characters, `, shown, " bits a character", usual, rate] : []));
}

function showLegend() {
  const tones = (kind, levels) => levels.map((level) => element("i", { className: `${kind} l${level}` }));
  const { influence, found } = view, hot = tones("hot", [2, 4, 6, 9]), cold = tones("cold", [9, 6, 4, 2]);
  const [less, more] = found && found.measure === "AUC" ? ["not", found.name] : found ? ["less", `more: ${found.name}`] : ["low", "high"];
  let parts = [];
  if (influence) parts = [`Without this character “${spelled(textOf([influence.target]))}” would be likelier`, ...cold, ...hot, "less likely"];
  else if (view.colour === "unit") parts = [less, ...cold, ...hot, more];
  else if (view.colour === "surprise") parts = ["expected", ...tones("hot", [1, 3, 5, 7, 9]), "surprising: 8 bits and more"];
  at("legend").replaceChildren(...parts.map((part) => (typeof part === "string" ? element("span", {}, part) : part)));
  at("influence").textContent = influence ? "Back to the colours" : "What does this guess hang on?";
}

/** Colour all texts anew: by what a guess hangs on, where that is given. */
function repaint(influence = view.influence) {
  view.influence = influence;
  for (const panel of panels) panel.tokens.forEach((token) => panel._paint(token));
  showLegend();
}

function chooseColour(colour) {
  view.colour = colour;
  for (const name of COLOURS) at(`colour-${name}`).ariaPressed = String(name === colour);
  at("unit-choice").hidden = colour !== "unit";
  for (const name of ["layer", "signal", "unit"]) at(name).value = view.unit[name];
  for (const chip of at("cells").children) chip.ariaPressed = String(sameUnit(chip.cell, view.unit));
  if (view.ready) host.post({ kind: "unit", unit: colour === "unit" ? view.unit : null });
  repaint(null);
}

const sameUnit = (a, b) => a.layer === b.layer && a.signal === b.signal && a.unit === b.unit;

function chooseUnit({ layer, signal, unit }) {
  view.unit = { layer, signal, unit };
  view.found = model.cells.find((cell) => sameUnit(cell, view.unit));
  chooseColour("unit");
}

function chooseMode(mode) {
  view.mode = mode;
  for (const name of MODES) at(`mode-${name}`).ariaSelected = name === mode;
  at("prompt-label").textContent = mode === "measure" ? "A text to measure" : model.lines ? "Each line begins with" : "Begin with";
  at("prompt").rows = mode === "measure" ? 6 : 2;
  at("temperature-row").hidden = mode === "compare";
  at("settings").hidden = mode === "measure";
  if (mode === "compare" && innerWidth > 860) at("more").open = true;
  at("prompts").hidden = mode === "measure";
  at("then").hidden = at("then").labels[0].hidden = mode !== "together";
}

/** A link that brings back prompt, seed and settings. */
function link() {
  const kept = new URLSearchParams({ mode: view.mode, prompt: at("prompt").value, seed: at("seed").value });
  for (const name of [...SETTINGS, "length"]) kept.set(name, at(name).value);
  kept.set("temperatures", view.temperatures.join(" "));
  kept.set("colour", view.colour === "unit" ? `unit ${view.unit.layer} ${view.unit.signal} ${view.unit.unit}` : view.colour);
  return `${location.href.split("#")[0]}#${kept}`;
}

function recall() {
  const kept = new URLSearchParams(framed ? "" : location.hash.slice(1));
  for (const name of ["prompt", "seed", ...SETTINGS, "length"]) if (kept.has(name)) at(name).value = kept.get(name);
  for (const name of ["pace", "length"]) if (at(name).selectedIndex < 0) at(name).selectedIndex = 0;
  const temperatures = (kept.get("temperatures") || "").split(" ").map(Number);
  if (temperatures.length === 3 && temperatures.every((t) => t >= 0 && t <= 2)) view.temperatures = temperatures;
  const [colour, layer, signal, unit] = (kept.get("colour") || "").split(" ");
  if (colour === "unit") chooseUnit(within({ layer: Number(layer), signal, unit: Number(unit) }));
  else if (COLOURS.includes(colour)) chooseColour(colour);
  chooseMode(MODES.includes(kept.get("mode")) ? kept.get("mode") : "write");
  return kept.has("mode");
}

/** The nearest unit that there is. */
function within({ layer, signal, unit }) {
  const limit = (value, least, most) => Math.min(most, Math.max(least, Math.trunc(value) || least));
  const known = signal === "cell" && model.cell === "lstm" ? "cell" : "hidden";
  return { layer: limit(layer, 1, model.layers), signal: known, unit: limit(unit, 0, model.units - 1) };
}

function copy(text, button) {
  const before = button.textContent, box = element("textarea", { value: text });
  document.body.append(box); // a frame may not use the clipboard but in this old way
  box.select();
  document.execCommand("copy");
  box.remove();
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = before), 1200);
}

/** Start the host in a worker; where a browser has none for such a page, in the page itself, in small slices. */
function connect(load) {
  const inPage = () => {
    const own = new Host((answer) => setTimeout(() => receive(answer)));
    host = { post: (message) => own.receive(message) };
    host.post(load);
  };
  const tail = "\nconst host = new Host((answer) => postMessage(answer));\nonmessage = ({ data }) => host.receive(data);";
  try {
    const code = new Blob([at("engine").textContent, tail], { type: "text/javascript" });
    const worker = new Worker(URL.createObjectURL(code));
    worker.onmessage = ({ data }) => receive(data);
    worker.onerror = () => view.ready || inPage();
    host = { post: (message) => worker.postMessage(message) };
    host.post(load);
  } catch {
    inPage();
  }
}

const answers = {
  ready({ simd }) {
    view.ready = true;
    document.documentElement.dataset.ready = simd ? "simd" : "plain";
    for (const button of document.querySelectorAll("button")) button.disabled = false;
    chooseColour(view.colour);
    begin(["write", "compare"].includes(view.mode) && (view.recalled || (!framed && !calm)));
  },
  failed: ({ reason }) => (at("note").textContent = `This browser cannot run it (${reason}); one of 2023 or later can.`),
  // At full speed in few frames, between which there is time for a slider.
  text: (message) => view.texts.push(message) === 1 && setTimeout(showTexts, pace() === Infinity ? 100 : 16),
  cut: ({ lane, position }) => panels[lane].cut(position),
  values: ({ lane, values }) => ((panels[lane].values = values), repaint()),
  influence: ({ lane, found }) => repaint({ lane, ...found }),
  next: showNext,
  writing: ({ on, ...facts }) => showWriting(on, facts),
  set: () => (document.documentElement.dataset.set = performance.now()),
};

function receive(answer) {
  if (answer.kind !== "text" && answer.kind !== "set") showTexts();
  answers[answer.kind](answer);
}

function build() {
  at("title").textContent = model.title;
  const bits = model.nats ? `, ${(model.nats / Math.LN2).toFixed(2)} bits a character on held-out text` : "";
  at("subtitle").textContent = `A recurrent network that writes character by character: ${model.about[0][1]}${bits}.`;
  if (model.cost !== null) model.about.push(["Rounding", `weights in 8 bits, which costs ${Math.max(0, model.cost).toFixed(4)} nats a character`]);
  at("about").append(...model.about.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  at("prompt").value = model.prompt;
  at("top-k").max = at("top-k").value = model.vocabulary.length;
  at("layer").max = model.layers;
  at("unit").max = model.units - 1;
  at("signal").lastElementChild.hidden = model.cell !== "lstm";
  at("link").hidden = framed;
  if (model.lines) at("length").replaceChildren(...[20, 100, 400].map((count) => element("option", { value: count, textContent: `${count} lines` })));
  for (const prompt of model.prompts) {
    const chip = element("button", { className: "mono", textContent: prompt.replaceAll("\n", "↵") || "(nothing)", onclick: () => ((at("prompt").value = prompt), begin()) });
    at("prompts").append(chip);
  }
  for (const cell of model.cells) {
    const score = cell.measure ? `${cell.measure} ${cell.score} on held-out text` : "";
    at("cells").append(element("button", { textContent: cell.name, title: score, cell, onclick: () => chooseUnit(cell) }));
  }
  for (let i = 1; i <= BARS; i++) {
    const part = (className, text = "") => element("span", { className, textContent: text });
    const button = element("button", { onclick: () => take(button.ids) }, element("i"), part("key", i), part("sign"), part("chance"));
    at("bars").append(element("li", { hidden: true }, button));
  }
}

function listen() {
  at("go").onclick = go;
  at("again").onclick = () => begin();
  for (const name of SETTINGS) at(name).addEventListener("input", sendSettings);
  for (const mode of MODES) at(`mode-${mode}`).onclick = () => (chooseMode(mode), begin());
  for (const colour of COLOURS) at(`colour-${colour}`).onclick = () => chooseColour(colour);
  for (const name of ["layer", "signal", "unit"]) at(name).onchange = () => chooseUnit(within({ layer: at("layer").value, signal: at("signal").value, unit: at("unit").value }));
  for (const words of [false, true]) at(words ? "by-words" : "by-characters").onclick = () => chooseBars(words);
  at("influence").onclick = () => (view.influence ? repaint(null) : host.post({ kind: "influence", ...place() }));
  at("copy").onclick = () => copy(panels.map(({ ids }) => textOf(ids)).join("\n\n"), at("copy"));
  at("link").onclick = () => copy(link(), at("link"));
}

function chooseBars(words) {
  view.words = words;
  [at("by-words").ariaPressed, at("by-characters").ariaPressed] = [words, !words];
  askNext();
}

build();
for (const button of document.querySelectorAll("button")) button.disabled = true;
view.recalled = recall();
listen();
sendSettings();
connect({ kind: "load", model, simd: !/[#&]plain\b/.test(location.hash) });
