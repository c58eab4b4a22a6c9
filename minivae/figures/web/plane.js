"use strict";
// A Gaussian code of two numbers: drag over the plane.

const MOST = 6; // the widest range, unless the code of a test image is farther out
const SLICE = 8; // milliseconds of decoding tiles at a time, so that a drag never waits

// A range that holds numbers as far from zero as this one.
const rangeOf = (far) => Math.ceil(2 * far) / 2;

// The range to begin with, which all but one in a hundred codes of test images are in, and the widest, for all of them.
function ranges() {
  const sorted = Float32Array.from(parameters[0].data, Math.abs).sort();
  const within = (share) => rangeOf(sorted[Math.floor(share * (sorted.length - 1))]);
  return [Math.min(MOST, Math.max(3, within(0.99))), Math.max(MOST, within(1))];
}

function planePanel(control) {
  const canvas = element("canvas", { id: "plane", tabIndex: 0, role: "application" });
  canvas.setAttribute("aria-label", "plane of codes: arrow keys move the code, with Shift further; N and P choose the next and the previous test image, Home the origin");
  state.z = new Float32Array(2);
  const background = document.createElement("canvas"), tiles = document.createElement("canvas");
  const show = { decodings: true, codes: true, prior: true };
  const [usual, widest] = ranges();
  let span = usual, size = 0, count = 0, job = 0;
  const place = (z, at = size) => [(z[0] / span + 1) * at / 2, (1 - z[1] / span) * at / 2];

  function drawBackground() {
    if (!size) return;
    const context = sharp(background, size, size);
    context.fillStyle = GROUND; context.fillRect(0, 0, size, size);
    if (show.decodings && tiles.width) {
      context.imageSmoothingEnabled = false; context.globalAlpha = 0.55;
      context.drawImage(tiles, 0, 0, size, size);
      context.globalAlpha = 1;
    }
    if (show.codes) for (let image = 0; image < images.shape[0]; image++) dot(context, ...place(encoded(image)), image, 3);
    if (show.prior) drawPrior(context, size, span);
  }

  // What the middle of each tile decodes to, from the origin outwards, a slice of time after another.
  function startTiles() {
    const number = ++job, context = tiles.getContext("2d"), one = document.createElement("canvas");
    count = Math.max(9, Math.round(size / 34));
    tiles.width = count * width; tiles.height = count * height;
    const far = (k) => Math.hypot(k % count - (count - 1) / 2, Math.floor(k / count) - (count - 1) / 2);
    const todo = [...Array(count * count).keys()].sort((a, b) => far(b) - far(a));
    const slice = () => {
      if (number !== job) return;
      for (const until = performance.now() + SLICE; todo.length && performance.now() < until;) {
        const k = todo.pop(), column = k % count, row = Math.floor(k / count);
        const z = [(2 * (column + 0.5) / count - 1) * span, (1 - 2 * (row + 0.5) / count) * span];
        paintImage(one, decode(z).mean, data.image);
        context.drawImage(one, column * width, row * height);
      }
      drawBackground(); draw();
      if (todo.length) setTimeout(slice, 16);
    };
    setTimeout(slice, 0);
  }

  function draw() {
    if (!size) return;
    const context = sharp(canvas, size, size), [x, y] = place(state.z);
    context.drawImage(background, 0, 0, size, size);
    if (state.image >= 0) {
      const std = encoded(state.image, 1).map((logVar) => Math.exp(logVar / 2) * size / (2 * span));
      for (const times of [1, 2]) outlined(context, ...place(encoded(state.image)), times * std[0], times * std[1], CURSOR);
      dot(context, ...place(encoded(state.image)), state.image, 5);
    }
    for (const [colour, thick] of [[GROUND, 5], [CURSOR, 2.2]]) cross(context, x, y, colour, thick);
    axes.forEach((axis, k) => axis.set(state.z[k]));
  }

  function move(z) {
    state.z = Float32Array.from(z, (each) => Math.min(span, Math.max(-span, each)));
    redraw();
  }

  // Move the code there, where it may be out of the range.
  function go(z) {
    const far = Math.min(widest, rangeOf(Math.max(...z.map(Math.abs))));
    if (far > span) { range.set(far); reach(far); }
    move(z);
  }

  function pick(image) {
    state.image = image;
    showChosen();
    go(image < 0 ? [0, 0] : encoded(image));
  }

  const at = (event) => {
    const box = canvas.getBoundingClientRect(), x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    return [(2 * x - 1) * span, (1 - 2 * y) * span];
  };
  let start = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId); canvas.focus({ preventScroll: true });
    start = [event.clientX, event.clientY]; move(at(event));
  });
  canvas.addEventListener("pointermove", (event) => { if (canvas.hasPointerCapture(event.pointerId)) move(at(event)); });
  canvas.addEventListener("pointerup", (event) => {
    if (!show.codes || !start || Math.hypot(event.clientX - start[0], event.clientY - start[1]) > 4) return;
    const [x, y] = place(at(event)), away = (image) => Math.hypot(...place(encoded(image)).map((each, k) => each - [x, y][k]));
    const closest = [...Array(images.shape[0]).keys()].reduce((a, b) => (away(b) < away(a) ? b : a));
    if (away(closest) < 9) pick(closest);
  });
  canvas.addEventListener("keydown", (event) => {
    if (!isOurs(event)) return;
    const step = event.shiftKey ? 0.5 : 0.05, total = images.shape[0];
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (moves[event.key]) move([state.z[0] + moves[event.key][0], state.z[1] + moves[event.key][1]]);
    else if (event.key === "Home") move([0, 0]);
    else if (event.key.toLowerCase() === "n") pick((state.image + 1) % total);
    else if (event.key.toLowerCase() === "p") pick((state.image + total - 1 + (state.image < 0)) % total);
    else return;
    event.preventDefault();
  });

  function box(name) {
    const input = element("input", { type: "checkbox", checked: true });
    input.addEventListener("change", () => { show[name] = input.checked; drawBackground(); draw(); });
    return element("label", { className: "check" }, input, name);
  }
  const axes = [0, 1].map((k) => slider(subscript(k), { min: -span, max: span, step: 0.01, value: 0 },
    (value) => move(k === 0 ? [value, state.z[1]] : [state.z[0], value])));
  function reach(now) {
    span = now;
    axes.forEach(({ input }) => { input.min = -span; input.max = span; });
    startTiles(); move(state.z);
  }
  const range = slider("range ±", { min: 1, max: widest, step: 0.5, value: span, digits: 1 }, reach);
  const legend = element("ul", { className: "legend" });
  for (const label of [...new Set(data.labels)].sort((a, b) => a - b)) {
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = data.colours[label % data.colours.length];
    legend.append(element("li", {}, swatch, data.names[label]));
  }
  control.append(element("div", { className: "plane" }, canvas), ...axes.map(({ row }) => row), range.row,
    element("div", { className: "checks" }, box("decodings"), box("codes"), box("prior")), legend,
    element("p", { className: "muted" }, "Drag, or use the arrow keys: z₀ grows to the right, z₁ upwards. Points are the codes of test images; a click on one chooses it (N and P: next, previous) and draws the encoder's q(z|x), one and two standard deviations wide. Dashed circles hold 50, 90 and 99 % of the prior."));
  new ResizeObserver(() => {
    const now = Math.round(canvas.parentElement.clientWidth);
    if (now !== size) { size = now; drawBackground(); draw(); startTiles(); }
  }).observe(canvas.parentElement);

  return {
    draw, pick, hint: "Choosing one moves the code to the mean of its q(z|x).",
    recolour() {},
    words: () => `Code ${fixed(state.z[0])}, ${fixed(state.z[1])}.`,
    address: () => ({ z: Array.from(state.z, (each) => each.toFixed(3)).join(","), range: span }),
    restore: ({ z, range: far }) => {
      if (+far >= 1 && +far <= widest) { range.set(+far); reach(+far); }
      if (z) go(z.split(",").map(Number).concat(0, 0).slice(0, 2).map((each) => each || 0));
    },
  };
}
