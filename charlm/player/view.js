"use strict";
// What stands on the page. It sets text, never HTML, and does no work of the network itself: see host.js.

const model = JSON.parse(document.getElementById("model").textContent);
const at = (id) => document.getElementById(id);
const BARS = 6, LEVELS = 9, BITS_A_LEVEL = 0.9; // likely characters or words; tones of a colour
const MODES = ["write", "compare", "together", "measure"], COLOURS = ["surprise", "unit", "none"];
const SETTINGS = ["temperature", "top-k", "top-p", "pace"]; // that change while it writes
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches, framed = window.top !== window.self;
const signs = new Map([[" ", "␣"], ["\n", "↵"], ["\t", "⇥"], ["\x7f", "␡"]]);
const idOf = new Map(model.vocabulary.map((code, id) => [code, id]));

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
  return (code >= 128 && code < 160) || (code >= 0xd800 && code < 0xe000) ? "\ufffd" : character;
}

const spelled = (text) => Array.from(text, sign).join("");
const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
const pace = () => Number(at("pace").value) || Infinity;
const sameUnit = (a, b) => a.layer === b.layer && a.signal === b.signal && a.unit === b.unit;

/** The text of ids: where they are bytes, UTF-8. */
function textOf(ids) {
  const codes = ids.map((id) => model.vocabulary[id]);
  if (model.as_bytes) return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(codes));
  return codes.map((code) => String.fromCodePoint(code)).join("");
}

/** How many bytes from `first` on make one character, or the beginning of none; 0 where it is not whole yet. */
function characterLength(ids, first) {
  if (!model.as_bytes) return 1;
  const lead = model.vocabulary[ids[first]];
  const length = lead < 0xc2 || lead > 0xf4 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  for (let i = 1; i < length; i++) {
    if (first + i >= ids.length) return 0;
    if (model.vocabulary[ids[first + i]] >> 6 !== 2) return i;
  }
  return length;
}

/** Turn a person's text into ids; characters that the network lacks become its unknown token, or are left out. */
function encode(text) {
  const codes = model.as_bytes ? new TextEncoder().encode(text) : Array.from(text, (sign) => sign.codePointAt(0));
  const missing = new Set(), ids = [];
  for (const code of codes) {
    const lower = String.fromCodePoint(code).toLowerCase();
    const known = idOf.has(code) || model.as_bytes || lower.length !== 1 ? code : lower.codePointAt(0);
    const id = idOf.has(known) ? idOf.get(known) : model.mark;
    if (id !== null) ids.push(id);
    if (!idOf.has(code)) missing.add(model.as_bytes ? `byte ${code}` : spelled(String.fromCodePoint(code)));
  }
  const named = Array.from(missing).slice(0, 12).join(" ") + (missing.size > 12 ? " …" : "");
  const fate = model.mark !== null ? "read as its unknown token, or in lower case" : "left out, or read in lower case";
  at("note").textContent = missing.size ? `The network does not know ${named}: ${fate}.` : "";
  return ids;
}

/** A text on the page, a span for each character. */
class Panel {
  constructor(lane) {
    const root = at("panel").content.firstElementChild.cloneNode(true), [slider, text] = root.children;
    Object.assign(this, { lane, root, text, low: true, ids: [], losses: [], values: [], tokens: [], whole: 0 });
    text.onpointermove = (event) => event.pointerType === "mouse" && !view.writing && this._point(event);
    text.onclick = (event) => this._point(event);
    text.onkeydown = (event) => this._key(event);
    text.onscroll = () => (this.low = text.scrollHeight - text.scrollTop - text.clientHeight < 60);
    const [, shown, range] = slider.children;
    const show = () => (shown.textContent = (view.temperatures[lane] = Number(range.value)).toFixed(2));
    Object.assign(range, { value: view.temperatures[lane], ariaLabel: `Temperature ${lane + 1}` });
    range.oninput = () => (show(), sendSettings());
    show();
  }

  add({ from, ids, losses, values }) {
    this.cut(from);
    this.ids.push(...ids);
    this.losses.push(...losses);
    this.values.push(...(values || ids.map(() => 0)));
    while (this.whole < this.ids.length) {
      const first = this.whole, length = characterLength(this.ids, first);
      if (!length) break;
      this._token(first, (this.whole = first + length));
    }
  }

  _token(first, end) {
    const text = textOf(this.ids.slice(first, end)), last = this.tokens[this.tokens.length - 1];
    const span = element("span", { textContent: text === "\n" ? "" : " \t".includes(text) ? text : spelled(text) });
    span.token = { span, first, end, text, lineEnd: text === "\n", given: end <= this.given };
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
      const [from, to] = [first, end].map((place) => Math.max(0, place - influence.first));
      const found = influence.influences.slice(from, to);
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
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const bar = at("bars").children[event.key - 1];
    if (bar && !bar.hidden) return bar.firstElementChild.click();
    if (event.key in steps) place += steps[event.key];
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") place = this._otherLine(place, event.key);
    else return;
    event.preventDefault();
    if (count) select(this, this.tokens[Math.max(0, Math.min(count - 1, place))]);
  }

  /** The character in the line above or below one, as far into it. */
  _otherLine(place, key) {
    if (!this.tokens.length) return place;
    const { span } = this.tokens[Math.min(place, this.tokens.length - 1)], line = span.parentNode;
    const other = key === "ArrowUp" ? line.previousSibling : line.nextSibling;
    const column = Array.from(line.children).indexOf(span);
    return other ? this.tokens.indexOf(other.children[Math.min(column, other.children.length - 1)].token) : place;
  }
}

/** Point at a character of a text, or at its end. */
function select(panel, token) {
  if (view.selected && view.selected.token === token) return;
  if (view.selected) view.selected.token.span.classList.remove("here");
  view.selected = token && { lane: panel.lane, position: token.end - 1, token };
  if (view.influence) repaint(null);
  if (token) token.span.classList.add("here");
  if (token) token.span.scrollIntoView({ block: "nearest" });
  askNext();
}

/** Where the bars stand: after the character pointed at, or at the end of the first text. */
function place() {
  const { selected } = view;
  if (selected) return { lane: selected.lane, position: selected.position + 1 };
  return { lane: 0, position: panels[0].ids.length };
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
  const came = panel.ids.slice(position);
  Array.from(at("bars").children).forEach((item, i) => {
    const button = item.firstElementChild, [bar, , shown, chance] = button.children, [ids, share] = found[i] || [[], 0];
    item.hidden = !found[i];
    button.ids = ids;
    button.className = ids.length && ids.every((id, n) => id === came[n]) ? "came" : "";
    bar.style.transform = `scaleX(${share})`;
    const code = model.vocabulary[ids[0]], lone = model.as_bytes && ids.length === 1 && code > 127;
    shown.textContent = lone ? `byte ${code.toString(16)}` : spelled(textOf(ids));
    chance.textContent = percent(share);
  });
  const before = panel.tokens.filter(({ end }) => end <= position).slice(-12).map(({ text }) => text);
  [at("next-title").textContent, at("reading").textContent] = view.selected
    ? [`What might have come after “${spelled(before.join(""))}”`, reading(panel, position)]
    : ["What may come next", "Point at a character, or use the arrow keys in the text."];
}

/** Say how surprising the character before a position was. */
function reading(panel, position) {
  const token = panel.tokens.find(({ end }) => end === position), shown = `“${spelled(token.text)}”`;
  const nats = panel.losses.slice(token.first, token.end), total = nats.reduce((a, b) => a + b, 0);
  if (nats.includes(null)) return `${shown} is the first character: nothing predicts it.`;
  const unit = view.colour === "unit" ? ` The unit is at ${panel.values[position - 1].toFixed(2)}.` : "";
  return `${shown} had a chance of ${percent(Math.exp(-total))}: ${(total / Math.LN2).toFixed(1)} bits.${unit}`;
}

function take(ids) {
  const until = view.mode === "together" ? at("then").value : null, where = place();
  const count = until ? 400 : view.mode === "write" ? Number(at("length").value) : 0;
  view.selected = null;
  repaint(null);
  host.post({ kind: "take", ...where, ids, until, count });
}

/** Three lanes where temperatures are compared, else one, with the settings of the page. */
function lanes() {
  const [topK, topP, single] = ["top-k", "top-p", "temperature"].map((name) => Number(at(name).value));
  return (view.mode === "compare" ? view.temperatures : [single]).map((temperature) => ({ temperature, topK, topP }));
}

function sendSettings() {
  at("temperature-shown").textContent = Number(at("temperature").value).toFixed(2);
  at("top-k-shown").textContent = Number(at("top-k").value) >= model.vocabulary.length ? "all" : at("top-k").value;
  at("top-p-shown").textContent = Number(at("top-p").value).toFixed(2);
  if (view.ready && panels.length) host.post({ kind: "settings", lanes: lanes(), pace: pace() });
}

/** Begin anew with the prompt, and write where the mode does. */
function begin(write = view.mode === "write" || view.mode === "compare") {
  const prompt = encode(at("prompt").value), seed = Math.max(0, Math.trunc(Number(at("seed").value)) || 0) >>> 0;
  const count = write ? Number(at("length").value) : 0;
  Object.assign(view, { run: view.run + 1, selected: null, influence: null, texts: [] });
  if (prompt.length > LONGEST) at("note").textContent = `Only the first ${LONGEST} characters are read.`;
  panels = lanes().map((_, lane) => new Panel(lane));
  for (const panel of panels) panel.given = view.mode === "measure" ? 0 : prompt.length;
  at("panels").replaceChildren(...panels.map(({ root }) => root));
  host.post({ kind: "begin", run: view.run, prompt, lanes: lanes(), seed, pace: pace(), count });
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
  panels.forEach(({ text }) => text.classList.toggle("busy", on));
  view.rate = !on && pace() === Infinity ? rate : 0;
  if (full) at("note").textContent = "A text of this page ends at 12,000 characters; start again for another.";
  showFigures();
  if (!on) askNext();
}

/** Show all characters that have come. */
function showTexts() {
  const texts = view.texts.splice(0);
  for (const text of texts) panels[text.lane].add(text);
  for (const { text, low } of panels) if (low) text.scrollTop = 1e9;
  if (texts.length) showFigures();
  if (texts.length && !view.selected && (!view.writing || pace() <= 60)) askNext();
}

function showFigures() {
  const count = Math.max(...panels.map(({ ids }) => ids.length));
  const mean = (known) => known.reduce((a, b) => a + b, 0) / Math.LN2 / (known.length || 1);
  const bits = panels.map(({ losses }) => mean(losses.filter((loss) => loss !== null)).toFixed(2)).join(" · ");
  const measure = view.mode === "measure", shown = element(measure ? "b" : "span", {}, bits);
  const usual = measure && model.nats ? `; on text held out of its training ${(model.nats / Math.LN2).toFixed(2)}` : "";
  const rate = view.rate ? `; ${Math.round(view.rate).toLocaleString("en")} characters a second` : "";
  const parts = [`${count.toLocaleString("en")} characters, `, shown, " bits a character", usual, rate];
  at("figures").replaceChildren(...(count ? parts : []));
}

function showLegend() {
  const tones = (kind, levels) => levels.map((level) => element("i", { className: `${kind} l${level}` }));
  const { influence, found } = view, scale = [...tones("cold", [9, 6, 4, 2]), ...tones("hot", [2, 4, 6, 9])];
  const [less, more] = !found ? ["low", "high"] : found.measure === "AUC" ? ["not", found.name] : ["less", found.name];
  const target = influence && `Without this character “${spelled(textOf([influence.target]))}” would be likelier`;
  const surprise = ["expected", ...tones("hot", [1, 3, 5, 7, 9]), "surprising: 8 bits and more"];
  let parts = { surprise, unit: [less, ...scale, more], none: [] }[view.colour];
  if (influence) parts = [target, ...scale, "less likely"];
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

function chooseUnit({ layer, signal, unit }) {
  view.unit = { layer, signal, unit };
  view.found = model.cells.find((cell) => sameUnit(cell, view.unit));
  chooseColour("unit");
}

function chooseMode(mode) {
  view.mode = document.body.dataset.mode = mode;
  for (const name of MODES) at(`mode-${name}`).ariaSelected = name === mode;
  const label = mode === "measure" ? "A text to measure" : model.lines ? "Each line begins with" : "Begin with";
  at("prompt-label").textContent = label;
  at("prompt").rows = mode === "measure" ? 6 : 2;
  if (mode === "compare" && innerWidth > 860) at("more").open = true;
}

/** A link that brings back prompt, seed and settings. */
function link() {
  const kept = new URLSearchParams({ mode: view.mode, prompt: at("prompt").value, seed: at("seed").value });
  for (const name of [...SETTINGS, "length"]) kept.set(name, at(name).value);
  kept.set("temperatures", view.temperatures.join(" "));
  const { layer, signal, unit } = view.unit;
  kept.set("colour", view.colour === "unit" ? `unit ${layer} ${signal} ${unit}` : view.colour);
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
  const box = element("textarea", { value: text });
  button.name = button.name || button.textContent;
  document.body.append(box); // a frame may not use the clipboard but in this old way
  box.select();
  document.execCommand("copy");
  box.remove();
  button.focus();
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = button.name), 1200);
}

/** Start the host in a worker; where a browser has none for such a page, in the page itself, in small slices. */
function connect(load) {
  const inPage = () => {
    const own = new Host((answer) => setTimeout(() => receive(answer)));
    host = { post: (message) => own.receive(message) };
    host.post(load);
  };
  const start = "\nconst host = new Host(postMessage); onmessage = ({ data }) => host.receive(data);";
  try {
    const code = new Blob([at("engine").textContent, start], { type: "text/javascript" });
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
  failed: ({ reason }) => (at("note").textContent = `This browser cannot run it (${reason}): one of 2023 can.`),
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
  if (answer.run !== view.run) return; // of a text that was begun anew meanwhile
  if (answer.kind !== "text" && answer.kind !== "set") showTexts();
  answers[answer.kind](answer);
}

function build() {
  at("title").textContent = model.title;
  const bits = model.nats ? `, ${(model.nats / Math.LN2).toFixed(2)} bits a character on held-out text` : "";
  at("subtitle").textContent = `A recurrent network that writes character by character: ${model.about[0][1]}${bits}.`;
  const cost = `weights in 8 bits, which costs ${Math.max(0, model.cost).toFixed(4)} nats a character`;
  if (model.cost !== null) model.about.push(["Rounding", cost]);
  at("about").append(...model.about.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  at("prompt").value = model.prompt;
  at("top-k").max = at("top-k").value = model.vocabulary.length;
  at("layer").max = model.layers;
  at("unit").max = model.units - 1;
  at("signal").lastElementChild.hidden = model.cell !== "lstm";
  at("link").hidden = framed;
  const option = (count) => element("option", { value: count, textContent: `${count} lines` });
  if (model.lines) at("length").replaceChildren(...[20, 100, 400].map(option));
  for (const prompt of model.prompts) {
    const onclick = () => ((at("prompt").value = prompt), begin());
    const textContent = prompt.replaceAll("\n", "↵") || "(nothing)";
    at("prompts").append(element("button", { className: "mono", textContent, onclick }));
  }
  for (const cell of model.cells) {
    const title = cell.measure ? `${cell.measure} ${cell.score} on held-out text` : "";
    at("cells").append(element("button", { textContent: cell.name, title, cell, onclick: () => chooseUnit(cell) }));
  }
  const bar = at("bars").firstElementChild;
  for (let i = 2; i <= BARS; i++) at("bars").append(bar.cloneNode(true));
  Array.from(at("bars").querySelectorAll(".key"), (key, i) => (key.textContent = i + 1));
}

function listen() {
  at("go").onclick = go;
  at("again").onclick = () => begin();
  for (const name of SETTINGS) at(name).addEventListener("input", sendSettings);
  for (const mode of MODES) at(`mode-${mode}`).onclick = () => (chooseMode(mode), begin());
  for (const colour of COLOURS) at(`colour-${colour}`).onclick = () => chooseColour(colour);
  const [layer, signal, unit] = ["layer", "signal", "unit"].map(at);
  const chosen = () => chooseUnit(within({ layer: layer.value, signal: signal.value, unit: unit.value }));
  for (const field of [layer, signal, unit]) field.onchange = chosen;
  for (const { firstElementChild: bar } of at("bars").children) bar.onclick = () => take(bar.ids);
  for (const words of [false, true]) at(words ? "by-words" : "by-characters").onclick = () => chooseBars(words);
  at("influence").onclick = () => (view.influence ? repaint(null) : host.post({ kind: "influence", ...place() }));
  at("copy").onclick = () => copy(panels.map(({ ids }) => textOf(ids)).join("\n\n"), at("copy"));
  at("link").onclick = () => copy(link(), at("link"));
  addEventListener("hashchange", () => location.reload()); // a link of the page that is open
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
