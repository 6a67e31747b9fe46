// The page Symbols: sets of the user's own.
import { drawingQueue } from "./queue.js";
import { ask, button, choice, chooseFile, confirmed, make, named, picture, post, remember, remembered, section, signOf, tell } from "./tools.js";
import { zipped } from "./zip.js";

export async function showSymbols(main) {
  const signs = await ask("/api/signs");
  const head = make("div", {});
  const body = make("div", {});
  main.append(head, body);
  let sets = [];
  let set = null;
  let queue = null;

  async function load(id) {
    ({ sets } = await ask("/api/sets"));
    const wanted = sets.find((one) => one.id === Number(id)) ?? sets[0];
    set = wanted ? await ask(`/api/sets/${wanted.id}`) : null;
    if (set) remember("set", set.id);
    showHead();
    showBody();
  }

  async function refresh() {
    set = await ask(`/api/sets/${set.id}`);
    showHead();
    showCounts();
    queue?.update(set);
  }

  function showHead() {
    const anew = button("New set", async () => {
      const name = await named("Name of the new set", sets.length ? "" : "My symbols");
      if (name) await load((await post("/api/sets", { name })).id);
    });
    const tools = [anew];
    if (set) {
      const select = choice(sets.map((one) => [one.id, one.name]), set.id, load, { "aria-label": "Set" });
      const file = chooseFile(".zip,.csv,.npz,.json", ([one]) => bring(one.name, one));
      const folder = chooseFile("", async (files) => bring("folder.zip", await zipped(files.filter((one) => one.type === "image/png"))), { webkitdirectory: true, multiple: true });
      const exports = choice([["", "Export …"], ["zip", "zip of folders"], ["csv", "CSV (FOPL)"], ["npz", "NumPy (npz)"], ["json", "strokes (JSON)"]], "", (to) => {
        if (to) save(`/api/sets/${set.id}/export?to=${to}`);
        showHead();
      }, { "aria-label": "Export" });
      tools.unshift(select);
      tools.push(button("Rename", async () => {
        const name = await named("Name", set.name);
        if (name) await ask(`/api/sets/${set.id}`, { method: "PATCH", json: { name } });
        await load(set.id);
      }), button("Import file …", () => file.click()), button("Import folder …", () => folder.click()), file, folder, exports, button("Delete set", async () => {
        if (!(await confirmed(`Delete ‘${set.name}’ with its ${set.symbols} symbols? This cannot be undone.`, "Delete"))) return;
        await ask(`/api/sets/${set.id}`, { method: "DELETE" });
        await load(null);
      }));
    }
    head.replaceChildren(make("div", { class: "head first" }, make("h1", {}, set ? set.name : "Symbols of your own"), make("div", { class: "tools" }, ...tools)),
      make("p", { class: "facts" }, set ? `${set.symbols} symbols of ${set.counts.filter(([, count]) => count).length} classes` : "A set holds symbols in your own hand. Models that are trained on it know your hand."));
  }

  async function bring(name, content) {
    tell("Importing …");
    const { added } = await ask(`/api/sets/${set.id}/import?name=${encodeURIComponent(name)}`, { method: "POST", body: content });
    tell(`${added} symbols added.`);
    await refresh();
  }

  let counts;
  let gallery;
  function showBody() {
    if (!set) {
      body.replaceChildren();
      return;
    }
    queue = drawingQueue(set, refresh);
    counts = make("div", { class: "classes", role: "group", "aria-label": "Classes" });
    gallery = make("div", {});
    body.replaceChildren(section("Draw", [], queue.element),
      section("Classes", [button("Look for odd ones", showOutliers)], make("p", { class: "caption" }, "How many symbols of each class there are; choose one to see them."), counts), gallery);
    showCounts();
  }

  function showCounts() {
    const most = Math.max(1, ...set.counts.map(([, count]) => count));
    counts.replaceChildren(...set.counts.filter(([label, count]) => label || count).map(([label, count]) => {
      const bar = make("span", { class: "bar" });
      bar.style.width = `${(100 * count) / most}%`;
      return button("", () => showClass(label), { class: "class", "aria-label": `${signOf(label)}: ${count}` }).appendChild(make("span", {}, signOf(label))).parentElement
        .appendChild(make("small", {}, String(count))).parentElement.appendChild(bar).parentElement;
    }));
  }

  async function showClass(label, more = false, old = []) {
    const after = old.at(-1)?.id ?? 0;
    const found = await ask(`/api/sets/${set.id}/samples?label=${encodeURIComponent(label)}&after=${after}`);
    const samples = [...old, ...found.samples];
    const next = found.more ? button("More", () => showClass(label, true, samples)) : null;
    showSamples(`${signOf(label)}`, samples, next, "There is none yet.", () => showClass(label));
    if (!more) gallery.scrollIntoView();
  }

  async function showOutliers() {
    tell("Looking …");
    const { outliers } = await ask(`/api/sets/${set.id}/outliers`);
    tell(outliers.length ? `${outliers.length} symbols look like another class.` : "No symbol looks like another class.");
    showSamples("Symbols that look like others", outliers, null, "There is none: each symbol has its like among those nearest to it.", showOutliers);
    gallery.scrollIntoView();
  }

  function showSamples(title, samples, next, none, again) {
    const chosen = new Set();
    const act = (text, work) => button(text, async () => {
      if (!chosen.size) throw new Error("choose symbols first, by a click or with the space bar");
      await work([...chosen]);
    });
    const change = async (text, way, ids, json = {}) => {
      await post(`/api/samples/${way}`, { ids, ...json });
      await Promise.all([refresh(), again()]);
      const undo = way === "delete" ? async () => {
        await post("/api/samples/restore", { ids });
        await Promise.all([refresh(), again()]);
      } : null;
      tell(`${ids.length} ${ids.length === 1 ? "symbol" : "symbols"} ${text}.`, false, undo);
    };
    const label = choice([["…", "Relabel as …"], ...signs.labels.map((sign) => [sign, sign]), ["", "no symbol"]], "…", async (sign) => {
      if (sign === "…") return;
      label.value = "…";
      if (!chosen.size) throw new Error("choose symbols first, by a click or with the space bar");
      await change(`relabelled as ${signOf(sign)}`, "relabel", [...chosen], { label: sign });
    }, { "aria-label": "Relabel as" });
    const tiles = samples.map((sample) => {
      const tile = make("button", { type: "button", class: "tile", "aria-pressed": "false", "aria-label": `${signOf(sample.label)}${sample.like === undefined ? "" : `, looks like ${signOf(sample.like)}`}`, onclick: () => {
        if (!chosen.delete(sample.id)) chosen.add(sample.id);
        tile.setAttribute("aria-pressed", String(chosen.has(sample.id)));
      } }, picture(sample.bitmap, signOf(sample.label)), sample.like === undefined ? null : make("small", {}, `${signOf(sample.label)} · like ${signOf(sample.like)}`));
      return tile;
    });
    const all = button("All", () => tiles.forEach((tile) => tile.getAttribute("aria-pressed") === "false" && tile.click()));
    gallery.replaceChildren(section(title, samples.length ? [all, label, act("Delete", (ids) => change("deleted", "delete", ids))] : [],
      samples.length ? make("div", { class: "tiles" }, ...tiles) : make("p", { class: "facts" }, none), next ?? ""));
  }

  await load(remembered("set", ""));
}

function save(address) {
  fetch(address).then(async (answer) => {
    if (!answer.ok) {
      tell((await answer.json()).error, true);
      return;
    }
    const name = answer.headers.get("content-disposition")?.match(/filename="([^"]+)"/)?.[1] ?? "symbols";
    const url = URL.createObjectURL(await answer.blob());
    make("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  });
}
