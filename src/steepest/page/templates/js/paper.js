// On paper: every figure, also those of other tabs, folded away or not yet come into view, in light colours.
const unfolded = new Set();

function folds() {
  return [...document.querySelectorAll("details.fold")];
}

// A fold stays as the reader left it when a live page renews itself.
function prepareFolds() {
  for (const fold of folds()) {
    fold.open = Boolean(state.folds[fold.id]);
    fold.addEventListener("toggle", () => paper || (state.folds[fold.id] = fold.open));
  }
}

window.addEventListener("beforeprint", () => {
  paper = true;
  root.classList.add("paper-only");
  for (const fold of folds()) {
    if (!fold.open) unfolded.add(fold);
    fold.open = true;
  }
  for (const plot of document.querySelectorAll(".plot")) draw(plot);
});

window.addEventListener("afterprint", () => {
  root.classList.remove("paper-only");
  for (const fold of unfolded) fold.open = false;
  unfolded.clear();
  setTimeout(() => {
    paper = false; // after the folds have told that they are closed
    redraw();
  });
});
