"use strict";
// An array as a picture whose numbers can be read.

const LONGEST_ROW = 32, FEW = 4, WIDEST = 240; // entries that stay in one row, that are written out; pixels of a picture

// Where each entry stands: rows, columns and index(row, column), −1 where there is none.  One example's batch axis
// is left out; a long vector is folded; images and kernels stand side by side.
function arranged({ shape, values, where }) {
  if (where) return { rows: values.shape[0], columns: values.shape[1], index: (r, c) => r * values.shape[1] + c };
  const inner = shape.length > 1 && shape[0] === 1 ? shape.slice(1) : shape;
  if (inner.length <= 1) {
    const n = inner.length ? inner[0] : 1, columns = n <= LONGEST_ROW ? n : folded(n);
    return { rows: Math.ceil(n / columns), columns, index: (r, c) => (r * columns + c < n ? r * columns + c : -1) };
  }
  const [height, width] = inner.slice(-2), planes = inner.slice(0, -2).reduce((a, b) => a * b, 1);
  const across = inner.length > 3 ? inner[inner.length - 3] : Math.ceil(Math.sqrt(planes)), gap = planes > 1 ? 1 : 0;
  const index = (r, c) => {
    const plane = Math.floor(r / (height + gap)) * across + Math.floor(c / (width + gap));
    const [y, x] = [r % (height + gap), c % (width + gap)];
    return plane < planes && y < height && x < width ? (plane * height + y) * width + x : -1;
  };
  return { rows: Math.ceil(planes / across) * (height + gap) - gap, columns: across * (width + gap) - gap, index };
}

// The width of a vector's fold: near its square root, a divisor if there is one.
function folded(n) {
  const root = Math.ceil(Math.sqrt(n));
  for (let columns = root; columns < 2 * root; columns++) if (n % columns === 0) return columns;
  return root;
}

// [i, j, ...] of a flat index.
function unravelled(flat, shape) {
  const index = [];
  for (const size of [...shape].reverse()) { index.unshift(flat % size); flat = Math.floor(flat / size); }
  return index;
}

// Give an element the size of an array's picture.
function shape(box, array) {
  const { rows, columns } = arranged(array);
  const cell = Math.min(28, WIDEST / Math.max(columns, rows));
  const [width, height] = [columns, rows].map((n) => Math.max(n * cell, 28)); // two rows of a thousand are no line
  box.style.width = `${width}px`;
  box.style.aspectRatio = `${width} / ${height}`;
}

// A picture of an array with a line that reads the number under the pointer, or that the arrow keys walked to.
function heatmap(array, name) {
  const { rows, columns, index } = arranged(array), { values: { data: values }, where } = array;
  const largest = array.range ? Math.max(Math.abs(array.range[0]), Math.abs(array.range[2])) : 0;
  const canvas = element("canvas", { className: "heatmap", tabIndex: 0, role: "application" });
  const read = element("p", { className: "read muted" }), rest = summary(array);
  shape(canvas, array);
  let at = [0, 0];
  const draw = () => {
    const colour = diverging(largest), empty = rgb("--panel"), flat = Array.from({ length: rows * columns }, (_, k) => index(Math.floor(k / columns), k % columns));
    paint(canvas, flat, rows, columns, (k) => (k < 0 ? empty : colour(values[k])));
  };
  const show = (r, c) => {
    const k = index(r, c);
    if (k < 0) return;
    at = [r, c];
    const entry = unravelled(where ? where.data[k] : k, array.shape);
    read.textContent = `[${entry.join(", ")}] = ${short(values[k], 7)}${where ? ", largest of its block" : ""}`;
    canvas.setAttribute("aria-label", `${name} ${read.textContent}`);
  };
  const leave = () => { read.textContent = rest; canvas.setAttribute("aria-label", `${name}, ${rest}; arrow keys read its numbers`); };
  const clamp = (value, most) => Math.min(most - 1, Math.max(0, value));
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    show(clamp(Math.floor((event.clientY - box.top) / box.height * rows), rows), clamp(Math.floor((event.clientX - box.left) / box.width * columns), columns));
  });
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!move || !isOurs(event)) return;
    show(clamp(at[0] + move[0], rows), clamp(at[1] + move[1], columns));
    event.preventDefault(); event.stopPropagation();
  });
  draw(); leave();
  return { picture: canvas, read, draw };
}

// An array in a line: its numbers if they are few, else least, greatest and mean.
function summary({ shape: sizes, values, range, nonfinite, zeros }) {
  if (sizes.reduce((a, b) => a * b, 1) <= FEW) return [...values.data].map((each) => short(each, 4)).join(", ");
  const parts = range ? [`${short(range[0])} … ${short(range[2])}, mean ${short(range[1])}`] : [];
  if (zeros > 0.005) parts.push(`${Math.round(100 * zeros)} % zero`);
  if (nonfinite) parts.push(`${nonfinite} not finite`);
  return parts.join(", ");
}
