// The page while the study runs: a new one takes its place when there are new records.
const EVERY = 2000;

// What the reader looks at: it stays where it is on the screen, whatever appears above.
function lookedAt() {
  const from = (element) => Math.abs(element.getBoundingClientRect().top);
  const seen = [...document.querySelectorAll("main :is(h2, table, .plot)[id]")].filter((e) => e.getClientRects().length);
  const nearest = seen.reduce((a, b) => (from(b) < from(a) ? b : a), document.body);
  return [nearest.id, nearest.getBoundingClientRect().top];
}

function renew(text) {
  const next = new DOMParser().parseFromString(text, "text/html");
  const [[id, top], focused] = [scrollY ? lookedAt() : [], document.activeElement?.id];
  kept = new Map([...drawn].map((plot) => [plot.id, plot]));
  for (const place of ["#top", "main", "#data"]) document.querySelector(place).replaceWith(next.querySelector(place));
  document.title = next.title;
  start();
  const nearest = document.getElementById(id);
  if (nearest) scrollBy({ top: nearest.getBoundingClientRect().top - top, behavior: "instant" });
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

async function follow() {
  const told = document.getElementById("live");
  try {
    const answer = await fetch(location.pathname, { cache: "no-cache" });
    const text = await answer.text();
    if (answer.ok && answer.headers.get("ETag") !== data.version) renew(text);
    told.textContent = answer.ok ? "live" : text;
  } catch {
    told.textContent = "no longer live: the watch has ended";
  }
  setTimeout(follow, EVERY);
}
follow();
