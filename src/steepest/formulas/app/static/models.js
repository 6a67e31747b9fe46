// The page Models: which there are, which reads, and how they compare.
import { ask, button, choice, chooseFile, confirmed, make, named, percent, post, section, signOf, tell, when } from "./tools.js";
import { useModel } from "./using.js";

export async function showModels(main) {
  const { sets } = await ask("/api/sets");
  const head = make("div", {});
  const list = make("div", { class: "scroll" });
  const compared = make("div", {});
  main.append(head, list, compared);
  const file = chooseFile(".safetensors", async ([one]) => {
    await ask(`/api/models?name=${encodeURIComponent(one.name)}`, { method: "POST", body: one });
    tell("The model was added; it is not in use yet.");
    await load();
  });
  let boxes = [];

  async function load() {
    const found = await ask("/api/models");
    const back = button("Roll back", async () => {
      await post("/api/models/back");
      tell("The model that was in use before reads again.");
      await load();
    }, { disabled: found.before === null });
    head.replaceChildren(make("div", { class: "head first" }, make("h1", {}, "Models"), make("div", { class: "tools" }, back, button("Import …", () => file.click()), file)));
    boxes = found.models.map((model) => make("input", { type: "checkbox", value: String(model.id), "aria-label": `compare ${model.name}`, checked: found.models.length < 5 }));
    const rows = found.models.map((model, k) => row(model, model.id === found.in_use, boxes[k]));
    const titles = ["", "model", "network", "accuracy held out", "class-balanced", "symbols of", ""];
    list.replaceChildren(rows.length ? make("table", { class: "stack" }, make("thead", {}, make("tr", {}, ...titles.map((text, k) => make("th", { scope: "col", class: k === 3 || k === 4 ? "n" : null }, text)))), make("tbody", {}, ...rows))
      : make("p", { class: "note" }, "There is no model yet: train one, or import a file."));
    showComparing(found.models);
  }

  function row(model, used, box) {
    const { facts } = model;
    const tools = [
      used ? make("span", { class: "chip better" }, "in use") : button("Use", async () => { if (await useModel(model.id)) await load(); }, { class: "main" }),
      make("a", { class: "button", href: `/api/models/${model.id}/file`, download: "" }, "Export"),
      model.id ? button("Rename", async () => {
        const name = await named("Name", model.name);
        if (name) await ask(`/api/models/${model.id}`, { method: "PATCH", json: { name } });
        await load();
      }) : null,
      model.id && !used ? button("Delete", async () => {
        if (!(await confirmed(`Delete the model ‘${model.name}’? This cannot be undone.`, "Delete"))) return;
        await ask(`/api/models/${model.id}`, { method: "DELETE" });
        await load();
      }) : null,
    ];
    const net = `${facts.network === "dense" ? "dense" : "convolutional"}, ${facts.classes} classes`;
    const from = facts.sets?.join(", ") ?? (facts.brought ? "imported" : "–");
    return make("tr", {}, make("td", { class: "pick" }, box), make("th", { scope: "row" }, model.name, make("small", {}, [when(model.created), facts.settings?.method].filter(Boolean).join(" · "))),
      make("td", { "data-label": "network" }, net), make("td", { class: "n", "data-label": "accuracy held out" }, percent(facts.accuracy)), make("td", { class: "n", "data-label": "class-balanced" }, percent(facts.balanced_accuracy)),
      make("td", { "data-label": "symbols of" }, from), make("td", { class: "acts" }, make("div", { class: "row" }, ...tools.filter(Boolean))));
  }

  function showComparing(models) {
    const usable = sets.filter((set) => set.symbols);
    if (!usable.length || models.length < 1) {
      compared.replaceChildren();
      return;
    }
    const set = choice(usable.map((one) => [one.id, `${one.name} (${one.symbols})`]), usable[0].id, null, { "aria-label": "Set" });
    const result = make("div", {});
    const go = button("Compare", async () => {
      const chosen = boxes.filter((box) => box.checked).map((box) => Number(box.value));
      if (!chosen.length) throw new Error("choose models first, in the first column");
      const found = await post("/api/models/compare", { models: chosen, set: Number(set.value) });
      const rows = found.models.map((one) => make("tr", {}, make("th", { scope: "row" }, models.find((model) => model.id === one.id).name), make("td", { class: "n", "data-label": "accuracy" }, percent(one.accuracy)),
        make("td", { class: "n", "data-label": "class-balanced" }, percent(one.balanced_accuracy)), make("td", { class: "said", "data-label": "worst confusions" }, one.confusions.map(([said, was, count]) => `${signOf(was)} for ${signOf(said)} ${count} ×`).join(", ") || "none")));
      result.replaceChildren(make("table", { class: "stack" }, make("thead", {}, make("tr", {}, ...["model", "accuracy", "class-balanced", "worst confusions"].map((text, k) => make("th", { scope: "col", class: k === 1 || k === 2 ? "n" : null }, text)))), make("tbody", {}, ...rows)),
        make("p", { class: "caption" }, `On ${found.symbols} symbols; a model knows better what it was trained on.`));
    });
    compared.replaceChildren(section("Compare", [set, go], make("p", { class: "caption" }, "The chosen models, asked for every symbol of a set."), result));
  }

  await load();
}
