// What was read: boxes over the picture, symbols to correct, the text.
import { alternatives } from "./alternatives.js";
import { attempt, button, choice, draw, make, post, remember, remembered, tell } from "./tools.js";

const FORMATS = [["unicode", "Unicode"], ["latex", "LaTeX"], ["tptp", "TPTP"], ["prover9", "Prover9"], ["ascii", "ASCII"]];
const UNSURE = 0.7;

export class SheetView {
  constructor(signs, sets) {
    this.signs = signs;
    this.sets = sets;
    this.chosen = null;
    this.to = remembered("format", "unicode");
    this.strip = make("div", { class: "strip", role: "group", "aria-label": "Symbols that were read" });
    this.panel = make("div", { class: "panel", hidden: true });
    this.text = make("div", { class: "text" });
    this.element = make("div", { hidden: true }, this.strip, this.panel, this.text);
    this.element.addEventListener("keydown", (event) => this.key(event));
  }

  // boxes: the element that the boxes are drawn into.
  show(sheet, boxes) {
    this.sheet = sheet;
    this.boxes = boxes;
    if (this.chosen && !this.symbol()) this.chosen = null;
    this.element.hidden = false;
    this.showBoxes();
    this.showStrip();
    this.showPanel();
    this.showText();
    this.onshow?.();
  }

  hide() {
    this.sheet = null;
    this.chosen = null;
    this.element.hidden = true;
    this.boxes?.replaceChildren();
  }

  symbol(at = this.chosen) {
    return at && this.sheet.lines[at[0]]?.symbols[at[1]];
  }

  async act(way, more = {}, next = this.chosen) {
    const sheet = await post(`/api/sheets/${this.sheet.sheet}/${way}`, { revision: this.sheet.revision, ...more });
    const hadFocus = this.element.contains(document.activeElement);
    this.chosen = next;
    this.show(sheet, this.boxes);
    if (hadFocus) this.focus();
  }

  choose(at, focus = false) {
    this.chosen = at;
    this.showBoxes();
    this.showStrip();
    this.showPanel();
    if (focus) this.focus();
  }

  focus() {
    this.strip.querySelector("[aria-pressed=true]")?.focus();
  }

  correct(character, step = 0) {
    const [line, place] = this.chosen;
    const next = this.symbol([line, place + step]) ? [line, place + step] : this.chosen;
    return this.act("correct", { line, place, character }, next);
  }

  showBoxes() {
    const all = [];
    const room = this.sheet.drawn ? 2 : Math.max(2, this.sheet.width / 500);
    this.sheet.lines.forEach((line, i) => line.symbols.forEach((symbol, k) => {
      const [x, y, width, height] = symbol.box;
      all.push(draw("rect", { x: x - room, y: y - room, width: width + 2 * room, height: height + 2 * room, class: classesOf(line, symbol, k, this.isChosen(i, k)), onclick: () => this.choose([i, k], true) }, draw("title", {}, symbol.character)));
    }));
    this.boxes.replaceChildren(...all);
  }

  isChosen(line, place) {
    return this.chosen?.[0] === line && this.chosen[1] === place;
  }

  showStrip() {
    const [line, place] = this.chosen ?? [0, 0];
    const rows = this.sheet.lines.map((row, i) => make("div", { class: "line" }, ...row.symbols.map((symbol, k) => make("button", {
      type: "button", class: classesOf(row, symbol, k, false), "aria-pressed": String(this.isChosen(i, k)), tabindex: i === line && k === place ? 0 : -1,
      "aria-label": nameOf(row, symbol, k), onclick: () => this.choose(this.isChosen(i, k) ? null : [i, k], true),
    }, symbol.character)), misfitOf(row)));
    this.strip.replaceChildren(...(rows.length ? rows : [make("p", { class: "facts" }, "No symbols were found.")]));
  }

  showPanel() {
    this.panel.hidden = !this.chosen;
    if (this.chosen) this.panel.replaceChildren(...alternatives(this));
  }

  showText() {
    const text = this.sheet.lines.map((line) => line.texts[this.to]).join("\n");
    const trees = this.sheet.lines.filter((line) => line.tree).map((line) => line.tree);
    const open = this.text.querySelector("details")?.open;
    const copy = button("Copy", async () => {
      await copied(text);
      tell("Copied.");
    });
    const load = make("a", { class: "button", href: `/api/sheets/${this.sheet.sheet}/text?to=${this.to}`, download: "" }, "Download");
    const formats = choice(FORMATS, this.to, (to) => {
      this.to = to;
      remember("format", to);
      this.showText();
      this.text.querySelector("select").focus();
    }, { "aria-label": "Language" });
    const details = make("details", { class: "trees" }, make("summary", {}, trees.length === 1 ? "Parse tree" : "Parse trees"), ...trees.map((tree) => make("pre", {}, tree)));
    details.open = open ?? false;
    this.text.replaceChildren(make("div", { class: "head" }, make("h2", {}, "Text"), make("div", { class: "tools" }, button("Read again", () => this.act("again")), formats, copy, load)),
      make("pre", { class: "output", tabindex: 0, "aria-label": "Text", "aria-live": "polite" }, text), this.options(), trees.length ? details : "");
  }

  options() {
    const box = (name, text) => make("label", {}, make("input", { type: "checkbox", checked: this.sheet.options[name], onchange: (event) => attempt(() => this.act("options", { [name]: event.target.checked })) }), ` ${text}`);
    return make("p", { class: "row facts" }, box("grammar", "choose among formulas"), box("words", "names may have several letters"), button("Undo correction", () => this.act("undo")));
  }

  key(event) {
    if (!this.chosen || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) {
      if (this.strip.contains(event.target)) this.move(event);
      return;
    }
    if (event.key === "Escape") this.choose(this.chosen, true);
    else if (this.strip.contains(event.target)) {
      if (event.key === "ArrowDown" || event.key === "Enter") {
        event.preventDefault();
        this.panel.querySelector("button")?.focus();
      } else if (event.key.length === 1 && this.signs.characters.includes(event.key)) {
        event.preventDefault();
        attempt(() => this.correct(event.key, 1));
      } else this.move(event);
    }
  }

  // From symbol to symbol with the arrows.
  move(event) {
    const all = this.sheet.lines.flatMap((row, i) => row.symbols.map((_, k) => [i, k]));
    const at = all.findIndex(([i, k]) => this.strip.children[i]?.children[k] === event.target);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || !all[to]) return;
    event.preventDefault();
    this.choose(all[to], true);
  }
}

function classesOf(line, symbol, place, chosen) {
  const misfit = line.misfit !== null && line.misfit === place;
  return ["symbol", symbol.corrected && "corrected", !symbol.corrected && symbol.probability < UNSURE && "unsure", misfit && "misfit", chosen && "chosen"].filter(Boolean).join(" ");
}

function nameOf(line, symbol, place) {
  const how = symbol.corrected ? "corrected" : `${Math.round(100 * symbol.probability)} % sure`;
  return `${symbol.character}, ${how}${line.misfit === place ? ", where the formula breaks" : ""}`;
}

function misfitOf(line) {
  if (line.misfit === null) return null;
  const where = line.misfit < line.symbols.length ? `no formula: nothing fits at ${line.symbols[line.misfit].character}` : "no formula: it would have to go on";
  return make("span", { class: "chip worse" }, where);
}

async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  throw new Error("this browser lets no page of this address copy; mark the text and copy it");
}
