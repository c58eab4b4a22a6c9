"use strict";
// A code of bits: a switch a bit, and what the relaxed bits of training decode to at a temperature.

const DRAWS = 6, COUNTED = 60, BINS = 20; // draws that are shown; draws and bins of the histogram

// The part that bits and categories share: `relax(u, T)` makes a relaxed code of `numbers` uniform numbers.
function relaxedPart(control, numbers, relax) {
  let seed = 1;
  const strip = element("div", { className: "strip draws" }), histogram = element("canvas", { className: "histogram" });
  const temperature = slider("T", { min: -3, max: 3, step: 0.05, value: 0 }, () => redraw());
  const value = () => Math.exp(+temperature.input.value);
  for (let k = 0; k < DRAWS; k++) strip.append(element("figure", {}, element("canvas")));
  const draws = () => { const random = seeded(seed); return Array.from({ length: COUNTED }, () => relax(Float32Array.from({ length: numbers }, random), value())); };
  control.append(element("h3", {}, "Relaxed, as while it trains"), temperature.row, strip, histogram,
    element("div", { className: "buttons" }, button("Draw again", () => { seed += 1; redraw(); })),
    element("p", { className: "muted" }, "Six draws from q(z|x) at temperature T, each with its own noise, held while T moves; below, how often a relaxed number is where between 0 and 1. The lower T, the nearer to 0 or 1."));

  function drawHistogram(codes) {
    const wide = histogram.parentElement.clientWidth, high = 72, context = sharp(histogram, wide, high), counts = new Array(BINS).fill(0);
    for (const z of codes) for (const each of z) counts[Math.min(BINS - 1, Math.floor(each * BINS))] += 1;
    const largest = Math.max(...counts);
    context.clearRect(0, 0, wide, high);
    context.fillStyle = variable("--accent");
    counts.forEach((n, k) => context.fillRect(k * wide / BINS + 1, (high - 16) * (1 - n / largest), wide / BINS - 2, (high - 16) * n / largest));
    context.fillStyle = variable("--muted"); context.font = "11px system-ui, sans-serif";
    context.textBaseline = "bottom"; context.fillText("0", 1, high);
    context.textAlign = "right"; context.fillText("1", wide - 1, high);
  }
  return {
    draw() {
      const codes = draws();
      temperature.row.querySelector("output").textContent = short(value(), 3);
      codes.slice(0, DRAWS).forEach((z, k) => paintImage(strip.children[k].firstChild, decode(z).mean, data.image));
      drawHistogram(codes);
    },
    address: () => short(value(), 3),
    restore: (text) => { if (+text > 0) temperature.set(Math.log(+text)); },
  };
}

const SMALLEST = 2 ** -25; // a uniform number may be 0, whose logarithm has no place here

function bitsPanel(control) {
  let logits = new Float32Array(data.units);
  const bits = order.map((unit) => {
    const made = button("", () => { logits[unit] = -logits[unit] || 1e-6; apply(); });
    made.title = `bit ${unit}, KL ${fixed(data.kl[unit])} nats`;
    return made;
  });
  const board = element("div", { className: "bits", role: "group" }, ...bits);
  board.setAttribute("aria-label", "bits, those that say most first");
  control.append(element("h2", {}, "Code"), board,
    element("div", { className: "buttons" }, button("All 0", () => { logits = logits.map((a) => -Math.abs(a)); apply(); }),
      button("Draw from the prior", () => { logits = logits.map((a, k) => Math.abs(a) * (Math.random() < data.prior[k] ? 1 : -1)); apply(); })),
    element("p", { className: "muted" }, "A switch a bit, those with the largest KL first; fainter ones are less sure in q(z|x). Flipping one turns its logit round."));
  const relaxed = relaxedPart(control, data.units, (u, T) => logits.map((a, k) =>
    sigmoid((a + Math.log(Math.max(u[k], SMALLEST)) - Math.log(Math.max(1 - u[k], SMALLEST))) / T)));

  function apply() { state.z = logits.map((a) => (a > 0 ? 1 : 0)); redraw(); }
  function pick(image) { state.image = image; logits = Float32Array.from(encoded(image)); showChosen(); apply(); }

  return {
    pick, recolour() {}, hint: "Choosing one sets the bits that are most likely for it.",
    draw() {
      order.forEach((unit, k) => {
        bits[k].textContent = state.z[unit];
        bits[k].setAttribute("aria-pressed", state.z[unit] === 1);
        bits[k].setAttribute("aria-label", `bit ${unit}: ${state.z[unit]}`);
        bits[k].style.opacity = 0.6 + 0.4 * Math.abs(2 * sigmoid(logits[unit]) - 1);
      });
      relaxed.draw();
    },
    words: () => `Bits ${Array.from(state.z).join("").replace(/.{10}(?=.)/g, "$& ")}.`,
    address: () => ({ bits: Array.from(state.z).join(""), T: relaxed.address() }),
    restore: ({ bits: kept, T, image }) => {
      if (image === undefined || state.image < 0) pick(0);
      if (kept) logits = logits.map((a, k) => ("01".includes(kept[k] ?? "?") && (kept[k] === "1") !== a > 0 ? -a || 1e-6 : a));
      relaxed.restore(T);
      apply();
    },
  };
}
