"use strict";
// A Gaussian code of any length: a slider a unit, active ones first, and the way from one test image to another.

const FRAMES = 9, FARTHEST = 4;

function slidersPanel(control) {
  state.z = new Float32Array(data.units);
  Object.assign(state, { other: -1, unit: order[0] });
  let second = false; // whether a click on a test image sets the end of the way, and not its start
  const rows = order.map((unit) => {
    const made = slider(subscript(unit), { min: -FARTHEST, max: FARTHEST, step: 0.01, value: 0, note: `KL ${fixed(data.kl[unit])}` }, (value) => {
      state.z[unit] = value; state.unit = unit; redraw();
    });
    return { unit, ...made };
  });
  const active = rows.filter(({ unit }) => data.active[unit]), quiet = rows.filter(({ unit }) => !data.active[unit]);

  const along = element("div", { className: "strip" }), across = element("div", { className: "strip" });
  const alongTitle = element("h3"), way = slider("t", { min: 0, max: 1, step: 0.01, value: 0 }, (t) => go(t));
  const between = element("div", { className: "between" }, way.row, across);

  const means = () => [encoded(state.image), encoded(state.other)];
  const mixed = (t) => means()[0].map((start, k) => (1 - t) * start + t * means()[1][k]);
  function go(t) { state.z = Float32Array.from(mixed(t)); redraw(); }

  // Frames of a strip: what each of some codes decodes to; a click goes there.
  function fill(strip, codes, captions, act) {
    if (!strip.children.length) {
      for (const k of codes.keys()) strip.append(element("button", { type: "button" }, element("canvas"), element("span", { className: "muted" })));
      [...strip.children].forEach((each, k) => each.addEventListener("click", () => each.act(k)));
    }
    codes.forEach((z, k) => {
      const frame = strip.children[k];
      frame.act = act; frame.setAttribute("aria-label", captions[k]);
      paintImage(frame.firstChild, decode(z).mean, data.image);
      frame.lastChild.textContent = captions[k];
    });
  }

  function drawAlong() {
    const values = Array.from({ length: FRAMES }, (_, k) => -3 + 6 * k / (FRAMES - 1));
    const at = (value) => Float32Array.from(state.z, (each, unit) => (unit === state.unit ? value : each));
    alongTitle.textContent = `Along ${subscript(state.unit)} alone`;
    fill(along, values.map(at), values.map((value) => fixed(value)), (k) => { state.z = at(values[k]); redraw(); });
  }

  function drawWay() {
    between.hidden = state.image < 0 || state.other < 0;
    if (between.hidden) return;
    const ts = Array.from({ length: FRAMES }, (_, k) => k / (FRAMES - 1));
    fill(across, ts.map(mixed), ts.map((t) => fixed(t)), (k) => { way.set(ts[k]); go(ts[k]); });
  }

  // Behind each slider, what the encoder says of the chosen image: its mean ± one standard deviation.
  function drawBands() {
    for (const { unit, input } of rows) {
      const track = input.parentElement;
      track.classList.toggle("band", state.image >= 0);
      if (state.image < 0) continue;
      const mean = encoded(state.image)[unit], std = Math.exp(encoded(state.image, 1)[unit] / 2);
      for (const [name, value] of [["--from", mean - std], ["--to", mean + std]]) {
        track.style.setProperty(name, (value + FARTHEST) / (2 * FARTHEST));
      }
    }
  }

  function pick(image) {
    if (second) state.other = image; else { state.image = image; state.z = Float32Array.from(encoded(image)); way.set(0); }
    if (second && state.image >= 0) { way.set(1); go(1); }
    showChosen(); drawBands(); drawWay(); nameEnds(); redraw();
  }

  const ends = element("div", { className: "segments", role: "group" });
  ends.setAttribute("aria-label", "what a click on a test image sets");
  const choices = [false, true].map((end) => button("", () => { second = end; nameEnds(); }));
  ends.append(...choices);
  function nameEnds() {
    choices.forEach((each, k) => {
      const image = k ? state.other : state.image, ready = second === Boolean(k);
      each.textContent = `${k ? "to" : "from"} ${image < 0 ? "…" : nameOf(image)}`;
      each.setAttribute("aria-pressed", ready);
    });
  }

  function set(z) { state.z = Float32Array.from(z); redraw(); }
  control.append(element("h2", {}, "Code"),
    element("div", { className: "buttons" }, button("All zero", () => set(state.z.map(() => 0))),
      button("Draw from the prior", () => set(state.z.map(() => normal())))),
    element("div", { className: "sliders" }, ...active.map(({ row }) => row)));
  if (quiet.length) {
    control.append(element("details", { open: !active.length }, element("summary", {}, `${quiet.length} quiet ${quiet.length > 1 ? "units" : "unit"}: the same for every image`),
      element("div", { className: "sliders" }, ...quiet.map(({ row }) => row))));
  }
  control.append(alongTitle, along, element("h3", {}, "From one test image to another"),
    element("p", { className: "muted" }, "Choose here which end a click on a test image sets; t walks the straight line between their mean codes."),
    ends, between);
  nameEnds();
  drawWay();

  return {
    pick, recolour() {}, hint: "Choosing one moves the code to the mean of its q(z|x); the bands behind the sliders reach one standard deviation either way.",
    draw() {
      rows.forEach(({ unit, input, set: show }) => { if (document.activeElement !== input || +input.value !== state.z[unit]) show(state.z[unit]); });
      drawAlong();
    },
    words: () => `Code ${order.filter((unit) => data.active[unit]).slice(0, 8).map((unit) => `${subscript(unit)} ${fixed(state.z[unit])}`).join(", ")}.`,
    address: () => ({ z: Array.from(state.z, (each) => +each.toFixed(3)).join(","), to: state.other < 0 ? "" : state.other, t: state.other < 0 ? "" : way.input.value }),
    restore: ({ z, to, t }) => {
      if (+to >= 0 && +to < images.shape[0] && to !== undefined) { second = true; pick(Math.floor(+to)); second = false; nameEnds(); way.set(+t || 0); if (state.image >= 0) go(+way.input.value); }
      if (z) set(state.z.map((each, k) => { const value = Number(z.split(",")[k]); return Number.isFinite(value) ? value : 0; }));
    },
  };
}
