"use strict";
// One weight moved a little: the loss around it, its slope by backward, and by a finite difference.

const CURVE = { width: 420, height: 200, left: 58, right: 12, top: 12, bottom: 30 };

const drawing = (name, attributes, text) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
};

const entryName = ({ parameter, index }) => `${parameter}[${index.join(", ")}]`;

// Fill the section with the nudges of one module; `ready` once its acc_grad_parameters has run.
function showNudges(section, nudges, ready, chosen, choose) {
  section.replaceChildren(element("h3", {}, "Nudge a weight"));
  section.classList.toggle("later", !ready);
  const picks = element("div", { className: "buttons" }, ...nudges.map((nudge, k) => {
    const pick = button(entryName(nudge), () => choose(k));
    pick.setAttribute("aria-pressed", k === chosen);
    pick.disabled = !ready;
    return pick;
  }));
  section.append(picks);
  if (!ready) return section.append(element("p", { className: "muted" }, "Its gradient is not yet computed."));
  const nudge = nudges[chosen], middle = (nudge.moves.length - 1) / 2;
  const scale = scales(nudge), picture = curve(nudge, scale), words = element("p", { className: "read" });
  const move = element("input", { type: "range", min: 0, max: nudge.moves.length - 1, step: 1, value: middle });
  move.setAttribute("aria-label", `move ${entryName(nudge)}`);
  const show = () => {
    const k = +move.value, by = nudge.moves[k], foretold = nudge.losses[middle] + nudge.analytic * by;
    picture.point.setAttribute("cx", scale.x(by)); picture.point.setAttribute("cy", scale.y(nudge.losses[k]));
    words.textContent = k === middle ? `As it is, ${short(nudge.value, 5)}: the loss is ${short(nudge.losses[k], 8)} nats.` :
      `Moved by ${short(by, 4)} to ${short(nudge.value + by, 5)}: the loss is ${short(nudge.losses[k], 8)}, and its gradient foretold ${short(foretold, 8)}.`;
  };
  move.addEventListener("input", show);
  section.append(element("div", { className: "nudging" }, element("div", {}, picture.svg, move, words), comparison(nudge)));
  show();
}

function comparison({ analytic, numeric }) {
  const apart = Math.abs(analytic - numeric) / Math.max(Math.abs(analytic), Math.abs(numeric), 1e-12);
  const row = (name, value) => element("tr", {}, element("th", {}, name), element("td", {}, value));
  return element("table", {}, row("∂L/∂w by backward", short(analytic, 9)),
    row("(L(w + h) − L(w − h)) / 2h", short(numeric, 9)), row("they differ by", Math.max(Math.abs(analytic), Math.abs(numeric)) < 1e-9 ? "nothing to compare" : `${short(apart, 2)} of it`),
    element("caption", { className: "muted" }, `float64, noise held, h = 10⁻⁵, L = reconstruction + ${data.whole ? "" : "β·"}${data.divergence}`));
}

// From a move and a loss to the pixels of the curve.
function scales({ moves, losses }) {
  const low = Math.min(...losses), high = Math.max(...losses), room = (high - low || 1) * 0.08;
  const far = moves[moves.length - 1], { width, height, left, right, top, bottom } = CURVE;
  return { low: low - room, high: high + room, far,
    x: (move) => left + (move / far + 1) / 2 * (width - left - right),
    y: (loss) => height - bottom - (loss - low + room) / (high - low + 2 * room) * (height - top - bottom) };
}

function curve({ moves, losses, analytic }, scale) {
  const { width, height, left, right, top, bottom } = CURVE, middle = (moves.length - 1) / 2;
  const svg = drawing("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "loss against the move of the weight, with its tangent" });
  const clip = drawing("clipPath", { id: "inside" });
  clip.append(drawing("rect", { x: left, y: top, width: width - left - right, height: height - top - bottom }));
  const line = (x1, y1, x2, y2, kind) => drawing("line", { x1, y1, x2, y2, class: kind, "clip-path": "url(#inside)" });
  const tangent = (move) => scale.y(losses[middle] + analytic * move);
  svg.append(clip,
    drawing("rect", { x: left, y: top, width: width - left - right, height: height - top - bottom, class: "frame" }),
    line(scale.x(0), top, scale.x(0), height - bottom, "zero"),
    line(scale.x(-scale.far), tangent(-scale.far), scale.x(scale.far), tangent(scale.far), "tangent"),
    drawing("polyline", { points: moves.map((move, k) => `${scale.x(move)},${scale.y(losses[k])}`).join(" "), class: "loss" }));
  const text = (x, y, anchor, value) => svg.append(drawing("text", { x, y, "text-anchor": anchor }, value));
  const digits = Math.max(4, Math.ceil(Math.log10(Math.abs(scale.high) / (scale.high - scale.low) + 1)) + 3);
  text(left - 6, scale.y(Math.max(...losses)) + 4, "end", short(Math.max(...losses), digits));
  text(left - 6, scale.y(Math.min(...losses)) + 4, "end", short(Math.min(...losses), digits));
  [-scale.far, 0, scale.far].forEach((move, k) => text(scale.x(move), height - 12, ["start", "middle", "end"][k], move ? short(move, 3) : "0"));
  const point = drawing("circle", { r: 5, class: "point" });
  svg.append(point);
  return { svg, point };
}
