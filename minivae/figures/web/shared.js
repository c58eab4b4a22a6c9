"use strict";
// What both pages use: numbers out of the data, pictures on canvases, state in the address, dark and light.

const $ = (id) => document.getElementById(id);

// An element, its properties and its children; text is never read as HTML.
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value; else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function button(text, act) {
  const made = element("button", { type: "button" }, text);
  made.addEventListener("click", act);
  return made;
}

// Whether a key is the page's: with these held it is the browser's.
const isOurs = (event) => !(event.altKey || event.ctrlKey || event.metaKey);

// The typed array of what Python packed, and its shape.
function unpacked({ shape, type, bytes }) {
  const text = atob(bytes), raw = new Uint8Array(text.length);
  for (let i = 0; i < raw.length; i++) raw[i] = text.charCodeAt(i);
  const Kind = { float32: Float32Array, float64: Float64Array, uint8: Uint8Array, uint32: Uint32Array }[type];
  return { shape, data: Kind ? new Kind(raw.buffer) : widened(new Uint16Array(raw.buffer)) };
}

// float16 as float32, through a table of all 65,536 numbers.
function widened(halves) {
  if (!widened.table) {
    widened.table = Float32Array.from({ length: 65536 }, (_, bits) => {
      const exponent = (bits >> 10) & 31, fraction = bits & 1023, sign = bits & 32768 ? -1 : 1;
      if (exponent === 31) return fraction ? NaN : sign * Infinity;
      return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
    });
  }
  const wide = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) wide[i] = widened.table[halves[i]];
  return wide;
}

// A number in a few characters, with a minus sign that is one.
function short(value, digits = 3) {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(digits - 1) : String(+value.toPrecision(digits));
  return text.replaceAll("-", "−");
}

const fixed = (value, digits = 2) => value.toFixed(digits).replace("-", "−");

// -- pictures ---------------------------------------------------------------------------------------

// Values as one pixel each; `colour(value, which)` gives [red, green, blue].
function paint(canvas, values, height, width, colour) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    const [red, green, blue] = colour(values[i], i);
    image.data[4 * i] = red; image.data[4 * i + 1] = green; image.data[4 * i + 2] = blue; image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

const level = (value) => Math.round(255 * Math.min(1, Math.max(0, value)));

// Black to white.
const grey = (value) => { const shade = level(value); return [shade, shade, shade]; };

// The colours of three planes of so many values each: red, green and blue.
const coloured = (values, size) => (_, i) => [0, 1, 2].map((plane) => level(values[plane * size + i]));

// An image of one plane, or of three, of values between 0 and 1.
function paintImage(canvas, values, [planes, height, width]) {
  paint(canvas, values, height, width, planes === 3 ? coloured(values, height * width) : grey);
}

const NOT_FINITE = [255, 0, 200];

// Blue below zero, orange above, and at zero the colour of the page: apart for every kind of colour vision.
function diverging(largest) {
  const [zero, below, above] = ["--zero", "--below", "--above"].map(rgb);
  return (value) => {
    if (!Number.isFinite(value)) return NOT_FINITE;
    const part = largest > 0 ? Math.min(1, Math.abs(value) / largest) ** 0.7 : 0, end = value < 0 ? below : above;
    return zero.map((from, k) => Math.round(from + part * (end[k] - from)));
  };
}

// What a variable of the style sheet holds, and a colour of it as [red, green, blue].
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const rgb = (name) => [1, 3, 5].map((k) => parseInt(variable(name).slice(k, k + 2), 16));

// A canvas as sharp as the screen; returns its context, whose unit is the pixel of the style sheet.
function sharp(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1, context = canvas.getContext("2d");
  canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

// -- time -------------------------------------------------------------------------------------------

// A function that calls `draw` once before the next frame, however often it is called.
function coalesced(draw) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };
}

// A function that calls `act` when it has not been called for that many milliseconds.
function settled(act, milliseconds) {
  let timer;
  return () => { clearTimeout(timer); timer = setTimeout(act, milliseconds); };
}

// -- the address, dark and light --------------------------------------------------------------------

const readAddress = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

// Keep the state behind the #, so that a bookmark or a link comes back to it.
const writeAddress = (entries) => {
  const text = new URLSearchParams(Object.entries(entries).filter(([, value]) => value !== "" && value != null));
  if (location.protocol !== "about:") history.replaceState(null, "", `#${String(text).replaceAll("%2C", ",")}`);
};

// The button that changes between dark and light; `redraw` paints the canvases again.
function startTheme(redraw) {
  const system = matchMedia("(prefers-color-scheme: dark)"), root = document.documentElement;
  const dark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const show = () => { $("theme").textContent = dark() ? "Light" : "Dark"; };
  if (["dark", "light"].includes(readAddress().theme)) root.dataset.theme = readAddress().theme;
  $("theme").addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; show(); redraw(); });
  system.addEventListener("change", () => { show(); redraw(); });
  show();
}

const theme = () => document.documentElement.dataset.theme;
