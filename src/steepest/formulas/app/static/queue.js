// "Draw an ∃": one symbol after the other, always of the class that has the fewest.
import { Pad } from "./pad.js";
import { button, make, post } from "./tools.js";

const NAMES = {
  "∀": "for all", "∃": "exists", "∧": "and", "→": "implies", "↔": "if and only if", "¬": "not", ",": "a comma", "(": "a bracket that opens", ")": "a bracket that closes",
  "-": "minus", "+": "plus", "=": "equals", "<": "less", ">": "greater", v: "v, V or ∨", 0: "zero", 1: "one", I: "capital i", l: "small L",
};
const CASES = "ckopswxz";

export function drawingQueue(first, refresh) {
  let set = first;
  let skipped = [];
  let label = null;
  const wanted = make("p", { class: "wanted", "aria-live": "polite" });
  const pad = new Pad(() => { store.disabled = !pad.strokes.length; }, { height: 220, grows: false, label: "Paper for one symbol" });
  const store = button("Keep", keep, { class: "main", disabled: true });
  const element = make("div", { class: "queue" }, make("div", {}, wanted, make("div", { class: "row" }, store, button("Undo", () => pad.undo()), button("Clear", () => pad.clear()), button("Another", skip)),
    make("p", { class: "caption" }, "Enter keeps, Escape clears. The class with the fewest symbols comes next.")), pad.svg);

  function next() {
    const counts = set.counts.filter(([sign]) => sign && !skipped.includes(sign));
    if (!counts.length) {
      skipped = [];
      return next();
    }
    const fewest = Math.min(...counts.map(([, count]) => count));
    const all = counts.filter(([, count]) => count === fewest);
    label = all[Math.floor(Math.random() * all.length)][0];
    const name = CASES.includes(label) ? `${label} or ${label.toUpperCase()}` : NAMES[label];
    wanted.replaceChildren("Draw ", make("strong", {}, label), name ? ` ${name}` : "", make("small", {}, `${fewest} so far`));
    pad.clear();
    return undefined;
  }

  async function keep() {
    if (!pad.strokes.length) return;
    await post(`/api/sets/${set.id}/samples`, { label, strokes: pad.strokes });
    skipped = [];
    await refresh();
    next();
  }

  function skip() {
    skipped.push(label);
    next();
  }

  document.addEventListener("keydown", (event) => {
    if (!element.isConnected || event.target.closest("button, input, select, a, dialog, summary")) return;
    if (event.key === "Enter") store.click();
    if (event.key === "Escape") pad.clear();
  });
  next();
  return { element, update: (changed) => { set = changed; } };
}
