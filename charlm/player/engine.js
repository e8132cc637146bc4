"use strict";
// The network: weights, products, steps, draws. Runs in a worker, in a page and in node alike; touches no page.

const ALPHABET =
  "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%,()*+-;.=:?@^_`{|}~"; // base 85, but no < > &
const KEPT_EVERY = 64; // characters after which a passage keeps the network's state

/** Base 85 text to `length` bytes: five digits make four bytes, the last group fewer. */
function decodeBase85(text, length) {
  const digits = new Uint8Array(128);
  for (let i = 0; i < 85; i++) digits[ALPHABET.charCodeAt(i)] = i;
  const view = new DataView(new ArrayBuffer(length + 4));
  for (let i = 0, at = 0; i < text.length; i += 5, at += 4) {
    let value = 0;
    for (let j = i; j < i + 5; j++) value = value * 85 + (j < text.length ? digits[text.charCodeAt(j)] : 84);
    view.setUint32(at, value);
  }
  return new Uint8Array(view.buffer, 0, length);
}

/** Inflate what Python's zlib has compressed. */
async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function halfToFloat(half) {
  const sign = half & 0x8000 ? -1 : 1, exponent = (half >> 10) & 31, fraction = half & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/**
 * Read a model's tensors, in the order of `model.tensors`, each {rows, columns, values, scales}: float32 values, or
 * int8 values of which row r is to be multiplied by scales[r]. Vectors have one column, and float32 values.
 */
function readTensors(model, bytes) {
  const tensors = {};
  let at = 0;
  const take = (Kind, count) => {
    const taken = new Kind(bytes.slice(at, at + count * Kind.BYTES_PER_ELEMENT).buffer);
    at += count * Kind.BYTES_PER_ELEMENT;
    return taken;
  };
  for (const [name, rows, columns] of model.tensors) {
    const tensor = { rows, columns, scales: null };
    if (model.weights === "float16") tensor.values = Float32Array.from(take(Uint16Array, rows * columns), halfToFloat);
    else if (columns === 1) tensor.values = take(Float32Array, rows);
    else [tensor.scales, tensor.values] = [take(Float32Array, rows), take(Int8Array, rows * columns)];
    tensors[name] = tensor;
  }
  return tensors;
}

/** A row of a matrix in float32. */
function rowOf(tensor, row) {
  const values = tensor.values.subarray(row * tensor.columns, (row + 1) * tensor.columns);
  return tensor.scales ? Float32Array.from(values, (value) => value * tensor.scales[row]) : values;
}

/** Matrix times vector in plain JavaScript, for browsers without SIMD: eight rows at once, number by number in turn. */
class PlainProducts {
  add(tensor) {
    const { rows, columns } = tensor, numbers = new Float64Array(columns * Math.ceil(rows / 8) * 8);
    for (let row = 0; row < rows; row++) {
      const first = (row - (row % 8)) * columns + (row % 8);
      rowOf(tensor, row).forEach((value, i) => (numbers[first + 8 * i] = value));
    }
    return { rows, columns, numbers, input: new Float64Array(columns) };
  }

  multiply({ rows, columns, numbers, input }, values, output) {
    input.set(values);
    for (let row = 0, at = 0; row < rows; row += 8) {
      let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
      for (let i = 0; i < columns; i++, at += 8) {
        const x = input[i];
        a += x * numbers[at], b += x * numbers[at + 1], c += x * numbers[at + 2], d += x * numbers[at + 3];
        e += x * numbers[at + 4], f += x * numbers[at + 5], g += x * numbers[at + 6], h += x * numbers[at + 7];
      }
      output[row] = a, output[row + 1] = b, output[row + 2] = c, output[row + 3] = d; // beyond its end it takes none
      output[row + 4] = e, output[row + 5] = f, output[row + 6] = g, output[row + 7] = h;
    }
  }
}

/** Matrix times vector in WebAssembly: kernel.wat. */
class SimdProducts {
  constructor(kernel) {
    this.kernel = kernel;
    this.used = 0;
  }

  _reserve(bytes) {
    const at = this.used, { memory } = this.kernel;
    this.used += Math.ceil(bytes / 16) * 16;
    memory.grow(Math.max(0, Math.ceil((this.used - memory.buffer.byteLength) / 65536)));
    return at;
  }

  /** Place a matrix in the memory: rows, input, result; of bytes also the scales, and the input in whole numbers. */
  add({ rows, columns, values, scales }) {
    const unit = scales ? 8 : 4, size = scales ? 1 : 4;
    const [height, width] = [Math.ceil(rows / 4) * 4, Math.ceil(columns / unit) * unit];
    const sizes = [height * width * size, width * 4, height * 4, height * 4, width * 2].slice(0, scales ? 5 : 3);
    const [weights, input, result, ...more] = sizes.map((bytes) => this._reserve(bytes));
    const { buffer } = this.kernel.memory, placed = new values.constructor(buffer, weights, height * width);
    for (let row = 0; row < rows; row++) placed.set(values.subarray(row * columns, (row + 1) * columns), row * width);
    if (scales) new Float32Array(buffer, more[0], rows).set(scales);
    // Inputs become whole numbers, as fine as 16 bits and a sum of 32 bits allow.
    const finest = Math.min(32767, Math.floor((2 ** 31 - 1) / (127 * width)));
    return { rows, columns, scales, place: [weights, input, result, height, width, ...more, finest], input: null };
  }

  multiply(matrix, values, output) {
    if (!matrix.input) this._look(matrix);
    matrix.input.set(values);
    this.kernel[matrix.scales ? "multiplyBytes" : "multiplyFloats"](...matrix.place);
    output.set(matrix.result);
  }

  /** Open a matrix's places in the memory, once that has grown to its size. */
  _look(matrix) {
    const { rows, columns, place: [, input, result] } = matrix, { buffer } = this.kernel.memory;
    matrix.input = new Float32Array(buffer, input, columns);
    matrix.result = new Float32Array(buffer, result, rows);
  }
}

/** tanh to within 3e-7, by the quotient of polynomials that Eigen and TensorFlow use: faster than Math.exp. */
function tanh(x) {
  if (x > 7.9 || x < -7.9) return Math.sign(x);
  const y = x * x;
  let top = ((-2.76076847742355e-16 * y + 2.00018790482477e-13) * y - 8.60467152213735e-11) * y + 5.12229709037114e-8;
  top = ((top * y + 1.48572235717979e-5) * y + 6.37261928875436e-4) * y + 4.89352455891786e-3;
  const below = ((1.19825839466702e-6 * y + 1.18534705686654e-4) * y + 2.268434632439e-3) * y + 4.89352518554385e-3;
  return (x * top) / below;
}

const sigmoid = (x) => 0.5 + 0.5 * tanh(0.5 * x);

/** One step of each cell, in place; x is W·x + b and u is U·h (and a GRU's own bias), as in Keras. */
const CELLS = {
  gru({ h }, x, u, units) {
    for (let i = 0; i < units; i++) {
      const update = sigmoid(x[i] + u[i]), reset = sigmoid(x[units + i] + u[units + i]);
      const candidate = tanh(x[2 * units + i] + reset * u[2 * units + i]);
      h[i] = update * h[i] + (1 - update) * candidate;
    }
  },
  lstm({ h, c }, x, u, units) {
    for (let i = 0; i < units; i++) {
      const input = sigmoid(x[i] + u[i]), forget = sigmoid(x[units + i] + u[units + i]);
      c[i] = forget * c[i] + input * tanh(x[2 * units + i] + u[2 * units + i]);
      h[i] = sigmoid(x[3 * units + i] + u[3 * units + i]) * tanh(c[i]);
    }
  },
  rnn({ h }, x, u, units) {
    for (let i = 0; i < units; i++) h[i] = tanh(x[i] + u[i]);
  },
};

/** A network that reads ids one by one. */
class Network {
  constructor(model, tensors, products) {
    Object.assign(this, { products, tensors, units: model.units, lstm: model.cell === "lstm" });
    this.step = CELLS[model.cell];
    const part = (name, bias) => ({ matrix: products.add(tensors[name]), bias: tensors[bias] && tensors[bias].values });
    this.layers = Array.from({ length: model.layers }, (_, n) => ({
      kernel: part(`kernel ${n}`, `bias ${n}`),
      recurrent: part(`recurrent ${n}`, `recurrent bias ${n}`),
    }));
    this.logits = part("logits", "logits bias");
    this.rows = []; // W·x + b of the first layer for each character that has been read
    [this.projected, this.recurrent] = [this._row(0).slice(), this._row(0).slice()];
  }

  /** The state of a network that has read nothing. */
  start() {
    const layer = () => ({ h: new Float32Array(this.units), c: this.lstm ? new Float32Array(this.units) : null });
    return { layers: this.layers.map(layer), logits: new Float32Array(this.logits.bias.length) };
  }

  copy({ layers, logits }) {
    return { layers: layers.map(({ h, c }) => ({ h: h.slice(), c: c && c.slice() })), logits: logits.slice() };
  }

  /** Read a character: `state` becomes the one after it, with the logits of the next. */
  read(state, id) {
    let output = null;
    for (let n = 0; n < this.layers.length; n++) {
      const { kernel, recurrent } = this.layers[n];
      const x = n ? this._apply(kernel, output, this.projected) : this._row(id);
      this.step(state.layers[n], x, this._apply(recurrent, state.layers[n].h, this.recurrent), this.units);
      output = state.layers[n].h;
    }
    this._apply(this.logits, output, state.logits);
    return state;
  }

  _row(id) {
    if (!this.rows[id]) {
      const { kernel } = this.layers[0], empty = new Float32Array(kernel.matrix.rows);
      this.rows[id] = this._apply(kernel, rowOf(this.tensors.embedding, id), empty);
    }
    return this.rows[id];
  }

  _apply({ matrix, bias }, input, output) {
    this.products.multiply(matrix, input, output);
    if (bias) for (let i = 0; i < bias.length; i++) output[i] += bias[i];
    return output;
  }
}

/**
 * Make a network of a model.
 * @param {object} model - as `charlm.player.export` writes it.
 * @param {boolean} simd - whether to try WebAssembly; plain JavaScript is always there.
 */
async function makeNetwork(model, simd = true) {
  const tensors = readTensors(model, await inflate(decodeBase85(model.data, model.bytes)));
  let products = new PlainProducts();
  try {
    const kernel = Uint8Array.from(atob(model.kernel), (character) => character.charCodeAt(0));
    if (simd) products = new SimdProducts((await WebAssembly.instantiate(kernel)).instance.exports);
  } catch {} // no WebAssembly, no SIMD, or a policy against them
  return new Network(model, tensors, products);
}

/** A well mixed 32-bit number (Wellons' triple32). */
function mix(x) {
  x = Math.imul(x ^ (x >>> 17), 0xed5ad4bb);
  x = Math.imul(x ^ (x >>> 11), 0xac4c1b51);
  x = Math.imul(x ^ (x >>> 15), 0x31848bab);
  return (x ^ (x >>> 14)) >>> 0;
}

/** Random number `count` of the sequence of a seed, in [0, 1): any one can be drawn alone. */
function uniform(seed, count) {
  const high = mix(mix(seed + 0x9e3779b9) ^ count), low = mix(high ^ mix(count + 0x85ebca6b));
  return (high * 2 ** 21 + (low >>> 11)) / 2 ** 53;
}

/**
 * The chances of each character: softmax(logits / temperature), among the k likeliest, and of these among the fewest
 * that together reach p. Temperature 0 takes the likeliest. What is not allowed has exactly 0.
 */
function distribution(logits, { temperature = 1, topK = Infinity, topP = 1 } = {}) {
  const chances = new Float64Array(logits.length);
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  if (temperature === 0) return chances.fill(1, best, best + 1);
  for (let i = 0; i < logits.length; i++) chances[i] = Math.exp((logits[i] - logits[best]) / temperature);
  if (topK < logits.length || topP < 1) narrow(chances, topK, topP);
  let sum = 0;
  for (const chance of chances) sum += chance;
  for (let i = 0; i < chances.length; i++) chances[i] /= sum;
  return chances;
}

function narrow(chances, topK, topP) {
  const order = likeliest(chances, chances.length);
  const sum = order.slice(0, topK).reduce((total, id) => total + chances[id], 0);
  let before = 0;
  for (const [rank, id] of order.entries()) {
    const chance = chances[id];
    if (rank > 0 && (rank >= topK || before >= topP * sum)) chances[id] = 0;
    before += chance;
  }
}

/** The ids of the largest values, the largest first; of equals, the lower id. */
function likeliest(values, count) {
  return Array.from(values.keys()).sort((a, b) => values[b] - values[a] || a - b).slice(0, count);
}

/** Invert the cumulative distribution; a character of chance 0 is never drawn. */
function draw(chances, random) {
  let passed = 0, last = 0;
  for (let i = 0; i < chances.length; i++) {
    if (!chances[i]) continue;
    passed += chances[i];
    last = i;
    if (random < passed) return i;
  }
  return last; // where rounding leaves the sum below 1
}

/** The loss in nats of a character, by the logits before it. */
function loss(logits, id) {
  let largest = logits[0], sum = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > largest) largest = logits[i];
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - largest);
  return Math.log(sum) + largest - logits[id];
}
