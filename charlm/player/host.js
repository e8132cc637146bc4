// What works behind the page, in a worker where there is one: passages of text, and the order in which things are done.

const SLICE = 8; // milliseconds of work after which messages are looked at again
const LONGEST = 12000; // characters of a passage
const LOOKED_BACK = 40; // characters whose influence is asked for
const WORD_STEPS = 400; // steps of the network in which words are looked for
const LONGEST_WORD = 24; // characters

/** A text, and what the network made of each of its characters. */
class Passage {
  constructor(network, model, prompt) {
    Object.assign(this, { network, lines: model.lines, lineEnd: model.vocabulary.indexOf(10) });
    this.fresh = network.start();
    // As `Generator` does: an empty prompt is read as an opening; of another the first character is not predicted.
    this.blind = prompt.length > 0 && !model.lines;
    if (!this.blind) network.read(this.fresh, model.opening);
    this.state = network.copy(this.fresh);
    this.kept = [network.copy(this.fresh)];
    Object.assign(this, { ids: [], losses: [], signals: [], drawn: 0 }); // drawn: the place in the random numbers
  }

  append(id) {
    this.losses.push(this.blind && !this.ids.length ? null : loss(this.state.logits, id));
    this.state = this._advance(this.state, id, (state) => this.signals.push(this._signals(state)));
    this.ids.push(id);
    if (this.ids.length % KEPT_EVERY === 0) this.kept.push(this.network.copy(this.state));
  }

  /** Read a character; in a list every line begins from the same state. */
  _advance(state, id, look = () => {}) {
    look(this.network.read(state, id));
    return this.lines && id === this.lineEnd ? this.network.copy(this.fresh) : state;
  }

  /** What all units show, from -127 to 127: hidden states, and of an LSTM the tanh of its cell states. */
  _signals({ layers }) {
    const { units, lstm } = this.network, found = new Int8Array(layers.length * units * (lstm ? 2 : 1));
    let at = 0;
    for (const { h, c } of layers) {
      for (let i = 0; i < units; i++) found[at++] = Math.round(127 * h[i]);
      if (c) for (let i = 0; i < units; i++) found[at++] = Math.round(127 * tanh(c[i]));
    }
    return found;
  }

  signal(position, { layer, signal, unit }) {
    const array = this.network.lstm ? 2 * (layer - 1) + (signal === "cell") : layer - 1;
    return this.signals[position][array * this.network.units + unit] / 127;
  }

  /** The state once `count` characters have been read. */
  stateAfter(count) {
    if (count === this.ids.length) return this.network.copy(this.state);
    const first = Math.floor(count / KEPT_EVERY);
    let state = this.network.copy(this.kept[first]);
    for (let i = first * KEPT_EVERY; i < count; i++) state = this._advance(state, this.ids[i]);
    return state;
  }

  /** Take back all but the first `count` characters. */
  cut(count) {
    this.state = this.stateAfter(count);
    for (const list of [this.ids, this.losses, this.signals]) list.length = count;
    this.kept.length = Math.floor(count / KEPT_EVERY) + 1;
  }

  /** The likeliest characters after the first `count`: [ids, chance], the likeliest first. */
  *next(count, wanted) {
    const chances = distribution(this.stateAfter(count).logits);
    return likeliest(chances, wanted).map((id) => [[id], chances[id]]);
  }

  /**
   * The likeliest words after the first `count` characters, each up to where it ends: [ids, chance].
   * Beginnings of words are gone through in the order of their chances. Yields after each step of the network.
   */
  *words(count, wanted, isLetter) {
    const open = [{ ids: [], chance: 1, begun: false }], found = new Map(), start = this.stateAfter(count);
    for (let steps = 0; open.length && steps < WORD_STEPS; steps++) {
      const best = open.reduce((a, b) => (b.chance > a.chance ? b : a));
      if ([...found.values()].filter(([, chance]) => chance > best.chance).length >= wanted) break;
      open.splice(open.indexOf(best), 1);
      const { ids, before } = best;
      const state = before ? this._advance(this.network.copy(before), ids[ids.length - 1]) : start;
      const chances = distribution(state.logits);
      for (const id of chances.keys()) {
        const chance = best.chance * chances[id], letter = isLetter(id), key = ids.join();
        if (best.begun && (!letter || ids.length === LONGEST_WORD)) {
          found.set(key, [ids, chance + (found.has(key) ? found.get(key)[1] : 0)]);
        } else if (chance > 1e-4 && (letter || ids.length < 3)) {
          open.push({ ids: [...ids, id], chance, before: state, begun: letter });
        }
      }
      yield;
    }
    return [...found.values()].sort((a, b) => b[1] - a[1]).slice(0, wanted);
  }

  /**
   * What the guess after the first `count` characters hangs on: by how many nats the loss of the character that came
   * (or, at the end, of the likeliest) rises when one of the last characters is left out. Yields after each step.
   */
  *influences(count) {
    const first = Math.max(0, count - LOOKED_BACK), states = [this.stateAfter(first)];
    for (let i = first; i < count; i++) states.push(this._advance(this.network.copy(states[i - first]), this.ids[i]));
    const { logits } = states[count - first], [guess] = likeliest(logits, 1);
    const target = count < this.ids.length ? this.ids[count] : guess, whole = loss(logits, target), found = [];
    for (let left = first; left < count; left++) {
      let state = this.network.copy(states[left - first]);
      for (let i = left + 1; i < count; i++) {
        state = this._advance(state, this.ids[i]);
        yield;
      }
      found.push(loss(state.logits, target) - whole);
    }
    return { first, target, influences: found };
  }
}

/** Does what messages ask for, a slice at a time, so that none has to wait; `send` takes the answers. */
class Host {
  constructor(send) {
    this.send = (answer) => send({ run: this.run, ...answer });
    Object.assign(this, { run: 0, jobs: [], passages: [], lanes: [], seed: 0, pace: Infinity, due: 0, unit: null });
    this.writing = this.awake = false;
    this.channel = new MessageChannel();
    this.channel.port1.onmessage = () => this._work();
  }

  receive(message) {
    this[`on_${message.kind}`](message);
    this._wake();
  }

  on_load({ model, simd }) {
    this.model = model;
    const isLetter = (code) => /[\p{L}\p{N}\p{M}'’]/u.test(String.fromCodePoint(code));
    this.letters = model.vocabulary.map((code) => isLetter(code) || (model.as_bytes && code > 127));
    makeNetwork(model, simd).then(
      (network) => {
        this.network = network;
        this.send({ kind: "ready", simd: network.products instanceof SimdProducts });
      },
      (error) => this.send({ kind: "failed", reason: String(error) }),
    );
  }

  /** Begin anew: read the prompt in as many passages as there are lanes, and write if `count` is above 0. */
  on_begin({ prompt, lanes, seed, pace, count, run }) {
    Object.assign(this, { jobs: [], lanes, seed, pace, run, prompt, writing: false });
    this.passages = lanes.map(() => new Passage(this.network, this.model, prompt));
    this.sent = lanes.map(() => 0);
    this.jobs.push({ steps: this._read(prompt.slice(0, LONGEST)), done: () => count > 0 && this.on_go({ count }) });
  }

  *_read(ids) {
    for (const id of ids) {
      for (const passage of this.passages) passage.append(id);
      yield;
    }
  }

  /** Write `count` characters more, or lines of a list; "word" and "line" stop at the end of one. */
  on_go({ count, until = null }) {
    this.left = this.passages.map(() => count);
    this.passages.filter(({ ids }) => ids.length > this.prompt.length).forEach((passage) => this._open(passage));
    Object.assign(this, { until, writing: true, due: performance.now(), began: performance.now(), wrote: 0 });
    this.send({ kind: "writing", on: true });
  }

  on_settings({ lanes, pace }) {
    Object.assign(this, { lanes, pace, due: Math.min(this.due, performance.now() + 1000 / pace) });
    this.send({ kind: "set" });
  }

  /** The likeliest characters after a position, or words. */
  on_next({ lane, position, wanted, words }) {
    const look = words ? "words" : "next", isLetter = (id) => this.letters[id];
    this._ask({ kind: "next", lane, position, words }, (passage) => passage[look](position, wanted, isLetter));
  }

  on_influence({ lane, position }) {
    this._ask({ kind: "influence", lane, position }, (passage) => passage.influences(position));
  }

  /** Work an answer out step by step; a position that was taken back meanwhile has none. */
  _ask(answer, work) {
    const passage = this.passages[answer.lane];
    const steps = (function* () {
      return answer.position <= passage.ids.length ? yield* work(passage) : null;
    })();
    this.jobs = this.jobs.filter(({ kind }) => kind !== answer.kind); // an older question is no longer of use
    this.jobs.push({ steps, done: (found) => found && this.send({ ...answer, found }), kind: answer.kind });
  }

  /** Take back what comes after a position, put other characters there, and go on as `on_go` does. */
  on_take({ lane, position, ids, count, until }) {
    this.on_stop();
    this.jobs = [];
    this.passages[lane].cut(position);
    this.sent[lane] = Math.min(this.sent[lane], position);
    this.send({ kind: "cut", lane, position });
    for (const id of ids) this.passages[lane].append(id);
    this._flush();
    if (count > 0) this.on_go({ count, until });
  }

  /** Choose the unit whose values are sent with the characters; null for none. */
  on_unit({ unit }) {
    this.unit = unit;
    if (!unit) return;
    this.passages.forEach((passage, lane) => {
      const values = Array.from({ length: this.sent[lane] }, (_, position) => passage.signal(position, unit));
      this.send({ kind: "values", lane, values });
    });
  }

  _wake(wait = 0) {
    clearTimeout(this.timer);
    if (wait > 1) this.timer = setTimeout(() => this._work(), wait);
    else if (!this.awake) {
      this.awake = true;
      this.channel.port2.postMessage(0);
    }
  }

  _work() {
    const end = performance.now() + SLICE;
    this.awake = false;
    while (performance.now() < end && (this.jobs.length ? this._job() : this._write()));
    this._flush();
    if (this.jobs.length || (this.writing && this.due <= performance.now())) this._wake();
    else if (this.writing) this._wake(this.due - performance.now());
  }

  _job() {
    const { done, value } = this.jobs[0].steps.next();
    if (!done) return true;
    const job = this.jobs.shift();
    this._flush();
    job.done(value);
    return true;
  }

  /** Write one character in each lane, from the same random numbers; says whether there may be more to do now. */
  _write() {
    if (!this.writing || performance.now() < this.due) return false;
    this.due = Math.max(this.due + 1000 / this.pace, performance.now() - 100);
    this.passages.forEach((passage, lane) => {
      if (this.left[lane] <= 0 || passage.ids.length >= LONGEST) return;
      const id = draw(distribution(passage.state.logits, this.lanes[lane]), uniform(this.seed, passage.drawn++));
      passage.append(id);
      this.wrote++;
      this._count(passage, lane, id);
    });
    const over = this.passages.every(({ ids }, lane) => this.left[lane] <= 0 || ids.length >= LONGEST);
    if (over) this.on_stop();
    return !over;
  }

  _count(passage, lane, id) {
    const line = id === passage.lineEnd, word = !this.letters[id];
    if (this.until === "word" ? word : this.until === "line" && line) this.left[lane] = 0;
    else if (line || !this.model.lines) this.left[lane]--;
    if (this.left[lane] > 0) this._open(passage);
  }

  /** At the end of a list's line, begin another with the prompt. */
  _open(passage) {
    if (!this.model.lines || passage.ids[passage.ids.length - 1] !== passage.lineEnd) return;
    for (const id of this.prompt) passage.append(id);
  }

  /** Stop writing. */
  on_stop() {
    if (!this.writing) return;
    this.writing = false;
    this._flush();
    const full = this.passages.some(({ ids }) => ids.length >= LONGEST);
    this.send({ kind: "writing", on: false, full, rate: (1000 * this.wrote) / (performance.now() - this.began) });
  }

  _flush() {
    this.passages.forEach((passage, lane) => {
      const from = this.sent[lane], to = (this.sent[lane] = passage.ids.length);
      if (from === to) return;
      const [ids, losses] = [passage.ids.slice(from), passage.losses.slice(from)];
      const values = this.unit && ids.map((_, i) => passage.signal(from + i, this.unit));
      this.send({ kind: "text", lane, from, ids, losses, values });
    });
  }
}
