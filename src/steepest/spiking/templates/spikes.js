// Filters as they grew, and the spikes of an image, drawn pixel by pixel; colours follow light and dark.
{
  const told = JSON.parse(document.getElementById("pictures").textContent);
  const ON = [0, 114, 178], OFF = [213, 94, 0];
  const page = () => getComputedStyle(document.documentElement).getPropertyValue("--page").trim();
  const numbers = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

  // A picture of width by height cells, each of which is the page mixed with a colour.
  const paint = (id, width, height, cell) => {
    const canvas = document.getElementById(id);
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    const picture = context.createImageData(width, height);
    const back = numbers(page());
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      const found = cell(x, y);
      const at = 4 * (y * width + x);
      for (let c = 0; c < 3; c++) picture.data[at + c] = found ? back[c] + found[1] * (found[0][c] - back[c]) : back[c];
      picture.data[at + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
  };
  const mixed = (on, off) => {
    const sum = on + off;
    if (!sum) return null;
    return [ON.map((value, c) => (on * value + off * OFF[c]) / sum), Math.min(sum, 1)];
  };
  const early = (step) => 1 - 0.8 * step / told.steps;

  const slider = document.getElementById("grown");
  const drawFilters = () => {
    const at = slider ? Number(slider.value) : 0;
    if (slider) document.getElementById("grown-at").textContent = told.seen[at].toLocaleString("en");
    const columns = Math.min(10, told.maps), side = told.size + 1;
    const rows = Math.ceil(told.maps / columns);
    paint("filters", columns * side - 1, rows * side - 1, (x, y) => {
      const map = Math.floor(y / side) * columns + Math.floor(x / side);
      const column = x % side, row = y % side;
      if (column === told.size || row === told.size || map >= told.maps) return null;
      const weights = told.filters[at][map], place = row * told.size + column;
      return mixed(weights[place] / 100, weights[told.size ** 2 + place] / 100) ?? [ON, 0.03];
    });
  };

  const picked = document.getElementById("image");
  const drawImage = () => {
    const image = told.images[picked.value];
    const side = image.grey.length, coded = 27, inner = coded - told.size + 1;
    const text = numbers(getComputedStyle(document.documentElement).getPropertyValue("--text").trim());
    paint("grey", side, side, (x, y) => [text, image.grey[y][x] / 255]);
    const cells = new Map(image.inputs.map(([step, kind, y, x]) => [y * coded + x, [step, kind]]));
    paint("inputs", coded, coded, (x, y) => {
      const found = cells.get(y * coded + x);
      return found && [found[1] ? OFF : ON, early(found[0])];
    });
    const places = new Map(image.maps.map(([step, map, y, x]) => [y * inner + x, step]));
    paint("places", inner, inner, (x, y) => {
      const step = places.get(y * inner + x);
      return step === undefined ? null : [ON, early(step)];
    });
    const counts = new Map();
    for (const [step, map] of image.maps) counts.set(step * told.maps + map, (counts.get(step * told.maps + map) ?? 0) + 1);
    const most = Math.max(1, ...counts.values());
    paint("raster", told.maps, told.steps, (x, y) => {
      const count = counts.get(y * told.maps + x);
      return count && [text, 0.25 + 0.75 * count / most];
    });
  };
  const draw = () => { drawFilters(); if (told.images.length) drawImage(); };
  slider?.addEventListener("input", drawFilters);
  picked.addEventListener("change", drawImage);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  draw();
}
