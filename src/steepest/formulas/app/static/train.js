// The page Train: a training from sets of symbols, its curve, what came of it.
import { curves } from "./curve.js";
import { ask, attempt, button, choice, confirmed, field, hush, make, percent, picture, post, section, signOf, tell, when } from "./tools.js";
import { useModel } from "./using.js";

const OFTEN = 1000; // milliseconds between looks at a training that runs
const STATES = { running: "running", finished: "finished", cancelled: "cancelled", failed: "failed", interrupted: "interrupted" };

export async function showTraining(main) {
  const waiting = make("p", { class: "facts", role: "status" }, "Loading the methods of training; after the server has started this takes some seconds …");
  main.append(make("div", { class: "head first" }, make("h1", {}, "Train a model")), waiting);
  let choices;
  let sets;
  try {
    [choices, { sets }] = await Promise.all([ask("/api/choices"), ask("/api/sets")]);
  } finally {
    waiting.remove();
  }
  const current = make("div", {});
  const list = make("div", {});
  main.append(form(choices, sets, start), current, list);
  let shown = null;
  let curve = [];
  let timer;

  async function start(request) {
    tell("Starting …");
    const { training } = await post("/api/trainings", request);
    hush();
    await open(training);
    await showList();
  }

  async function open(training) {
    clearTimeout(timer);
    shown = training;
    curve = [];
    await look();
    current.scrollIntoView();
  }

  async function look() {
    clearTimeout(timer);
    const training = shown;
    const found = await ask(`/api/trainings/${training}?after=${curve.at(-1)?.epoch ?? 0}`);
    if (training !== shown) return;
    const before = current.dataset.state;
    curve.push(...found.curve);
    current.dataset.state = found.state;
    await showCurrent(found);
    if (found.state === "running") timer = setTimeout(() => attempt(look), OFTEN);
    else if (before === "running") await showList();
  }

  async function showCurrent(found) {
    const act = (way) => async () => {
      await post(`/api/trainings/${found.training}/${way}`);
      if (way === "resume") curve = [];
      await look();
      await showList();
    };
    const tools = [make("span", { class: `chip ${found.state === "failed" ? "worse" : ""}` }, `${STATES[found.state]}, epoch ${found.done} of ${found.epochs}`)];
    if (found.state === "running") tools.push(button("Cancel", act("cancel")));
    if (["cancelled", "interrupted"].includes(found.state)) tools.push(button("Resume", act("resume"), { class: "main" }));
    const parts = [make("p", { class: "facts" }, describe(found))];
    if (found.error) parts.push(make("p", { class: "note" }, `${found.error}.`));
    if (curve.length || found.state === "running") parts.push(curves(curve, found.epochs));
    if (found.result) parts.push(...(await results(found, () => open(found.training))));
    current.replaceChildren(section(found.name, tools, ...parts));
  }

  async function showList() {
    const { trainings } = await ask("/api/trainings");
    const rows = trainings.map((one) => make("tr", {}, make("th", { scope: "row" }, button(one.name, () => open(one.training), { class: "open" }), make("small", {}, when(one.started))),
      make("td", { "data-label": "state" }, `${STATES[one.state]}, ${one.done} of ${one.epochs} epochs`), make("td", { "data-label": "settings" }, `${one.settings.network}, ${one.settings.method}`),
      make("td", { "data-label": "symbols" }, String(one.symbols)), make("td", {}, one.state === "running" ? "" : button("Delete", async () => {
        if (!(await confirmed(`Delete the training ‘${one.name}’? A model that it made stays.`, "Delete"))) return;
        await ask(`/api/trainings/${one.training}`, { method: "DELETE" });
        if (shown === one.training) { shown = null; clearTimeout(timer); current.replaceChildren(); }
        await showList();
      }))));
    const head = make("thead", {}, make("tr", {}, ...["training", "state", "settings", "symbols", ""].map((text) => make("th", { scope: "col" }, text))));
    list.replaceChildren(rows.length ? section("Trainings", [], make("table", { class: "stack" }, head, make("tbody", {}, ...rows))) : "");
    return trainings;
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else if (shown && current.dataset.state === "running") attempt(look);
  });
  const trainings = await showList();
  const first = trainings.find((one) => one.state === "running") ?? trainings.find((one) => one.state === "interrupted");
  if (first) await open(first.training);
}

function describe(found) {
  const { settings } = found;
  const net = settings.network === "dense" ? `dense net of ${settings.hidden} units (${settings.activation})` : "convolutional net";
  return `${found.symbols} symbols of ${found.sets.join(", ")}; ${net}; ${settings.method}${settings.lr ? `, lr ${settings.lr}` : ""}, batches of ${settings.batch_size}, seed ${settings.seed}${settings.distort ? ", distorted" : ""}${settings.fragments ? ", and what is no symbol" : ""}`;
}

async function results(found, again) {
  const { result, before } = found;
  const { in_use: used } = await ask("/api/models");
  const row = (name, mine, theirs) => make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "n" }, percent(mine)), ...(before ? [make("td", { class: "n" }, percent(theirs))] : []));
  const table = make("table", { class: "results" }, make("thead", {}, make("tr", {}, make("th", {}, "on symbols held out"), make("th", { class: "n" }, "this model"), ...(before ? [make("th", { class: "n" }, "the model in use before")] : []))),
    make("tbody", {}, row("accuracy", result.accuracy, before?.accuracy), row("class-balanced accuracy", result.balanced_accuracy, before?.balanced_accuracy)));
  const use = found.model === null || found.model === undefined ? null : used === found.model ? make("span", { class: "chip better" }, "in use") : button("Use this model", async () => {
    if (await useModel(found.model)) await again();
  }, { class: "main" });
  const { confusions } = await ask(`/api/trainings/${found.training}/examples`);
  const pairs = confusions.map((pair) => make("li", {}, make("span", {}, make("strong", { class: "said" }, signOf(pair.was)), " taken for ", make("strong", { class: "said" }, signOf(pair.said)), make("small", {}, `${pair.count} ×`)), make("span", { class: "tiles" }, ...pair.bitmaps.map((bits) => picture(bits, signOf(pair.was))))));
  return [table, make("p", { class: "row" }, use), before ? make("p", { class: "caption" }, "The model in use before may have been trained on some of these symbols.") : null,
    pairs.length ? make("details", { class: "fold", open: true }, make("summary", {}, make("h2", {}, "Confusions")), make("ul", { class: "pairs" }, ...pairs)) : make("p", { class: "facts" }, "No symbol that was held out is taken for another.")].filter(Boolean);
}

function form(choices, sets, start) {
  const all = [...(choices.made ? [{ id: 0, name: "shipped with steepest", symbols: choices.made }] : []), ...sets.filter((set) => set.symbols)];
  const boxes = all.map((set) => make("input", { type: "checkbox", value: String(set.id), checked: true }));
  const name = make("input", { value: "My model", required: true, maxlength: 80 });
  const network = choice([["dense", "dense net (fast)"], ["cnn", "convolutional net (better)"]], "dense", show);
  const method = choice(choices.methods.map((one) => [one.name, one.name]), "adam", show);
  const number = (value, attributes = {}) => make("input", { type: "number", value, ...attributes });
  const [lr, epochs] = [number("", { step: "any", min: 0 }), number("", { min: 1, max: 10000 })];
  const [batch, seed, hidden] = [number(64, { min: 1 }), number(0, { min: 0 }), number(500, { min: 1, max: 4096 })];
  const activation = choice(choices.activations.map((one) => [one, one]), "relu");
  const schedule = choice(choices.schedules.map((one) => [one, one]), choices.schedules.includes("linear") ? "linear" : choices.schedules[0]);
  const distort = make("input", { type: "checkbox", checked: true });
  const fragments = make("input", { type: "checkbox", checked: true });
  const about = make("p", { class: "caption" });
  const units = field("units", hidden);
  const shape = field("activation", activation);

  function show() {
    const one = choices.methods.find((each) => each.name === method.value);
    about.textContent = `${one.name}: ${one.description}`;
    lr.placeholder = one.lr === null ? "its own" : Number(one.lr.toPrecision(2));
    lr.disabled = one.lr === null;
    epochs.placeholder = choices.networks[network.value];
    for (const element of [units, shape]) element.hidden = network.value !== "dense";
  }

  async function send() {
    const chosen = boxes.filter((box) => box.checked).map((box) => Number(box.value));
    if (!chosen.length) throw new Error("choose at least one set of symbols");
    const settings = { network: network.value, method: method.value, batch_size: Number(batch.value), seed: Number(seed.value), distort: distort.checked, fragments: fragments.checked ? 0.5 : 0, schedule: schedule.value };
    if (network.value === "dense") Object.assign(settings, { hidden: Number(hidden.value), activation: activation.value });
    if (lr.value && !lr.disabled) settings.lr = Number(lr.value);
    if (epochs.value) settings.epochs = Number(epochs.value);
    await start({ name: name.value, sets: chosen, settings });
  }

  show();
  if (!all.length) return make("p", { class: "note" }, "There is no set with symbols yet. ", make("a", { href: "/symbols" }, "Draw or import some first."));
  const more = make("details", {}, make("summary", {}, "more"), make("div", { class: "fields" }, field("batch size", batch), field("schedule of lr", schedule), field("seed", seed), units, shape));
  return make("form", { class: "form", onsubmit: (event) => {
    event.preventDefault();
    attempt(send);
  } },
    make("fieldset", {}, make("legend", {}, "Symbols"), ...boxes.map((box, k) => make("label", {}, box, ` ${all[k].name} (${all[k].symbols})`)), choices.made ? make("p", { class: "caption" }, `Beside those that are shipped, each of yours comes ${choices.own_times} times in an epoch.`) : "", make("label", {}, distort, " distort them a little in each epoch"), make("label", {}, fragments, " learn what is no symbol, too: pages are read better, and training takes two to three times as long")),
    make("div", { class: "fields" }, field("name", name), field("network", network), field("method", method), field("learning rate", lr), field("epochs", epochs)), about, more,
    make("p", { class: "row" }, make("button", { type: "submit", class: "main" }, "Train")));
}
