"use strict";
// The data, the state, and what every kind of code shows: the decoded image, in pixels and in words.

const data = JSON.parse($("data").textContent);
const decoder = prepared(data.decoder), images = unpacked(data.images);
const parameters = data.parameters.map(unpacked); // of q(z|x), of each test image
const [planes, height, width] = data.image, pixels = planes * height * width;
const order = data.kl.map((_, unit) => unit).sort((a, b) => data.active[b] - data.active[a] || data.kl[b] - data.kl[a]);
const state = { z: new Float32Array(0), image: -1, label: 0 }; // the panels add their own

// What a code decodes to: the mean of each pixel, and of a Gaussian with free variance the standard deviation.
function decode(z) {
  const output = forward(decoder, { shape: [z.length], data: Float32Array.from(z) });
  if (data.likelihood === "bernoulli") return { mean: output.data.map(sigmoid), std: null };
  if (data.likelihood === "continuous_bernoulli") return { mean: output.data.map(continuousBernoulliMean), std: null };
  if (!Array.isArray(output)) return { mean: output.data, std: null };
  return { mean: output[0].data, std: output[1].data.map((logVar) => Math.exp(logVar / 2)) };
}

// Numbers `which` of the encoder's parameters for a test image: 0 mean or logits, 1 log-variance.
function encoded(image, which = 0) {
  const { shape, data: all } = parameters[which], size = all.length / shape[0];
  return all.subarray(image * size, (image + 1) * size);
}

const pixelsOf = (image) => Array.from(images.data.subarray(image * pixels, (image + 1) * pixels), (byte) => byte / 255);
const labelOf = (image) => data.names[data.labels[image]];
const nameOf = (image) => `test image ${image}, ${labelOf(image)}`;

let decoded = { mean: new Float32Array(pixels), std: null };

// Paint what the state decodes to; called once a frame at most.
const redraw = coalesced(() => {
  decoded = decode(state.z);
  paintImage($("decoded"), decoded.mean, data.image);
  $("std-figure").hidden = !decoded.std;
  if (decoded.std) drawStd(decoded.std);
  panel.draw();
  say();
});

function drawStd(std) {
  const largest = std.reduce((a, b) => Math.max(a, b));
  paintImage($("std"), std.map((value) => value / largest), data.image);
  $("std-caption").textContent = `standard deviation: black 0, white ${short(largest, 2)}`;
}

// Where the state is kept, and the picture in words, once things have come to rest.
const say = settled(() => {
  $("mirror").textContent = `${data.given ? `Label ${data.names[state.label]}. ` : ""}${panel.words()} ${inWords(decoded.mean)}`;
  writeAddress({ ...panel.address(), image: state.image < 0 ? "" : state.image, label: data.given ? state.label : "", theme: theme() });
}, 200);

function inWords(values) {
  const size = height * width, light = (k) => { let sum = 0; for (let at = k; at < pixels; at += size) sum += values[at]; return sum / planes; };
  const on = [...Array(size).keys()].filter((k) => light(k) > 0.5);
  const rows = on.map((k) => Math.floor(k / width)), columns = on.map((k) => k % width);
  const range = (list) => [Math.min, Math.max].map((end) => list.reduce((a, b) => end(a, b))).join(" to "); // no call takes 100,000 arguments
  const where = on.length ? `${on.length} of ${size} pixels are above ½, in rows ${range(rows)}, columns ${range(columns)}` : "No pixel is above ½";
  return `${where}. Most like ${nameOf(nearest(values))}.`;
}

// The test image with the least squared difference.
function nearest(values) {
  let best = 0, least = Infinity;
  for (let image = 0; image < images.shape[0]; image++) {
    let sum = 0;
    for (let k = 0; k < pixels && sum < least; k++) sum += (values[k] - images.data[image * pixels + k] / 255) ** 2;
    if (sum < least) [best, least] = [image, sum];
  }
  return best;
}

// -- what the panels share --------------------------------------------------------------------------

// A labelled slider: `change(value)` hears it; `set(value)` shows a value without being heard.
function slider(label, { min, max, step, value, digits = 2, note = "" }, change) {
  const input = element("input", { type: "range", min, max, step, value });
  const output = element("output", {}, fixed(value, digits));
  const row = element("label", { className: "slider" }, element("span", { className: "name" }, label),
    element("span", { className: "track" }, input), output);
  if (note) row.append(element("span", { className: "note muted" }, note));
  input.addEventListener("input", () => { output.textContent = fixed(+input.value, digits); change(+input.value); });
  const set = (now) => { input.value = now; output.textContent = fixed(now, digits); };
  return { row, input, set };
}

// A small picture of values between 0 and 1, with a word below it.
function thumbnail(values, caption) {
  const canvas = element("canvas", { className: "thumbnail" });
  paintImage(canvas, values, data.image);
  return caption === undefined ? canvas : element("figure", {}, canvas, element("figcaption", {}, caption));
}

function normal(random = Math.random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

// Numbers in [0, 1) that a seed repeats (Mulberry32, by Tommy Ettinger; public domain).
function seeded(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const subscript = (unit) => `z${[...String(unit)].map((digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("")}`;
