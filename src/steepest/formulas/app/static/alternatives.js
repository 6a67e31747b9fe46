// What one symbol may be instead, and what else can be done with it.
import { button, make, percent, picture, post, tell } from "./tools.js";

export function alternatives(view) {
  const [line, place] = view.chosen;
  const symbol = view.symbol();
  const last = place === view.sheet.lines[line].symbols.length - 1;
  const shown = symbol.alternatives.slice(0, 8);
  const others = make("details", { class: "others" }, make("summary", {}, "another"),
    make("div", { class: "signs" }, ...view.signs.characters.map((sign) => button(sign, () => view.correct(sign), { class: "sign" }))));
  return [
    make("div", { class: "row" }, picture(symbol.bitmap, `the symbol read as ${symbol.character}`),
      make("div", { class: "signs", role: "group", "aria-label": "Alternatives" }, ...shown.map((one) => button(one.character, () => view.correct(one.character), {
        class: "sign", "aria-pressed": String(one.character === symbol.character), title: percent(one.probability), "aria-label": `${one.character}, ${percent(one.probability)}`,
      })))),
    others,
    make("div", { class: "row" },
      button("Split", () => view.act("split", { line, place })),
      button("Merge with next", () => view.act("merge", { line, places: [place, place + 1] }), { disabled: last }),
      button("No symbol", () => view.act("remove", { line, place }, null)),
      symbol.corrected ? button("As read", () => view.correct(null)) : null,
      view.set() ? button(`Add to ${view.set().name}`, () => keep(view, "one", { line, place })) : null),
    make("p", { class: "caption" }, "Type the right sign, or choose one. Arrows go to the neighbours."),
  ];
}

export async function keep(view, which, more = {}) {
  const set = view.set();
  const { added } = await post(`/api/sheets/${view.sheet.sheet}/keep`, { which, set: set.id, ...more });
  tell(`${added} ${added === 1 ? "symbol" : "symbols"} added to ${set.name}.`);
}

