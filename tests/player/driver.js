// Runs the player's own code in node: reads one request as JSON from standard input, and answers with JSON.
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const folder = path.join(__dirname, "..", "..", "charlm", "player");
const source = ["engine.js", "host.js"].map((name) => fs.readFileSync(path.join(folder, name), "utf8")).join("\n");
const names = ["makeNetwork", "loss", "distribution", "draw", "uniform", "likeliest", "decodeBase85", "Passage", "Host"];
const player = vm.runInThisContext(`(() => {${source}\nreturn { ${names.join(", ")} };})()`);

const tasks = {
  /** Losses of texts, as ids, each in one pass from zero state. */
  async score({ model, texts, simd }) {
    const network = await player.makeNetwork(model, simd);
    const read = (state) => (id) => {
      const nats = player.loss(state.logits, id);
      network.read(state, id);
      return nats;
    };
    return { products: network.products.constructor.name, losses: texts.map((ids) => ids.map(read(network.start()))) };
  },

  /** Ids written after a prompt, from zero state. */
  async write({ model, prompt, count, settings, seed, simd }) {
    const network = await player.makeNetwork(model, simd), state = network.start(), ids = [];
    for (const id of prompt) network.read(state, id);
    for (let i = 0; i < count; i++) {
      ids.push(player.draw(player.distribution(state.logits, settings), player.uniform(seed, i)));
      network.read(state, ids[i]);
    }
    return ids;
  },

  /** How often each id is drawn from the same logits. */
  async draws({ logits, settings, count, seed }) {
    const counts = logits.map(() => 0), chances = player.distribution(logits, settings);
    for (let i = 0; i < count; i++) counts[player.draw(chances, player.uniform(seed, i))]++;
    return { counts, chances: Array.from(chances) };
  },

  /** What a host answers to messages, each sent once what it waits for has been answered. */
  async talk({ model, messages }) {
    const answers = [];
    let woken = () => {};
    const host = new player.Host((answer) => {
      answers.push(answer);
      woken();
    });
    const answered = (wanted, from) => answers.slice(from).some((answer) => Object.keys(wanted).every((key) => answer[key] === wanted[key]));
    for (const { wait, ...message } of [{ kind: "load", model, simd: true, wait: { kind: "ready" } }, ...messages]) {
      const from = answers.length;
      host.receive(message);
      while (wait && !answered(wait, from)) await new Promise((resolve) => (woken = resolve));
    }
    return answers;
  },
};

const request = JSON.parse(fs.readFileSync(0, "utf8"));
tasks[request.task](request).then((answer) => {
  process.stdout.write(JSON.stringify(answer), () => process.exit(0));
});
