"use strict";
// The walk: which step is shown, what it reads and makes, and what is not yet computed.

const data = JSON.parse($("data").textContent);
const arrays = data.arrays.map((array) => ({ ...array, values: unpacked(array.values), where: array.where && unpacked(array.where) }));
const FORWARD = "update_output", VERBS = { update_output: "forward", update_grad_input: "backward: the gradient of what came in", acc_grad_parameters: "backward: the gradients of the parameters are added up" };
const steps = data.steps, last = steps.length - 1;
const state = { at: 0, nudge: 0 };
let maps = []; // the heat maps that are shown

function go(to, nudge = 0) {
  state.at = Math.min(last, Math.max(0, to));
  state.nudge = nudge;
  draw();
}

const keep = () => writeAddress({ step: state.at, nudge: state.nudge || "", theme: theme() });

function draw() {
  const step = steps[state.at];
  $("at").value = state.at;
  $("back").disabled = $("first").disabled = state.at === 0;
  $("next").disabled = $("last").disabled = state.at === last;
  $("phase").textContent = `${state.at + 1} of ${steps.length}`;
  $("title").replaceChildren(element("span", {}, step.title), element("code", {}, `.${step.verb}`));
  $("what").textContent = step.path === "criterion" ? (step.verb === FORWARD ? "the loss" : "the gradient of the loss: here the way back begins") : VERBS[step.verb];
  $("equation").textContent = step.equation;
  $("equation").hidden = !step.equation;
  $("code").textContent = step.code;
  $("code-box").hidden = !step.code;
  drawLosses(); drawTree(step); drawCards(step); drawNudge(step);
  const made = step.records.filter(({ made: now }) => now);
  $("mirror").textContent = `Step ${state.at + 1} of ${steps.length}, ${step.title}, ${step.verb}. ` +
    made.map(({ name, array }) => `${name}, ${sizes(arrays[array])}: ${summary(arrays[array])}`).join(". ");
  keep();
}

const sizes = ({ shape }) => shape.join("×") || "a number";

// Reconstruction and divergence, once they are known; a loss that is whole has both in it.
function drawLosses() {
  const seen = steps.slice(0, state.at + 1), ofLoss = seen.filter(({ path, verb }) => path === "criterion" && verb === FORWARD);
  const known = (among, name) => {
    const record = among.flatMap(({ records }) => records).findLast((each) => each.name === name);
    return record && arrays[record.array].values.data[0];
  };
  const value = (number) => (number === undefined ? "…" : short(number, 5));
  const loss = known(ofLoss, "output"), fit = known(ofLoss, "reconstruction") ?? loss;
  $("losses").textContent = `reconstruction ${value(fit)} nats, ${data.divergence} ${value(data.whole ? loss && loss - fit : known(seen, "divergence"))} nats`;
}

// The tree of modules: how far each has come, and a way to its next step.
function drawTree(now) {
  $("modules").replaceChildren(...data.tree.map(({ path, title, depth }) => {
    const mine = steps.map((step, k) => [step, k]).filter(([step]) => step.path === path);
    const done = mine.filter(([, k]) => k <= state.at).length, leaf = mine.length > 0;
    const name = path && path !== "criterion" ? title.replace(path, path.split(".").pop()) : title;
    const row = element(leaf ? "button" : "span", { className: "module" }, element("span", { className: "progress" }, ...mine.map((_, k) => element("i", { className: k < done ? "done" : "" }))), name);
    row.style.paddingLeft = `${6 + 14 * depth}px`;
    if (path === now.path) row.setAttribute("aria-current", "step");
    else if (!leaf && path !== "" && now.path.startsWith(`${path}.`)) row.classList.add("around");
    if (!done && leaf) row.classList.add("later");
    if (leaf) {
      row.type = "button";
      row.addEventListener("click", () => go((mine.find(([, k]) => k > state.at) ?? mine[0])[1]));
    }
    return row;
  }));
  const tree = $("tree"), box = tree.getBoundingClientRect(), row = tree.querySelector("[aria-current]").getBoundingClientRect();
  if (row.top < box.top) tree.scrollTop -= box.top - row.top + 60;
  if (row.bottom > box.bottom) tree.scrollTop += row.bottom - box.bottom + 60;
}

// What a gradient is the gradient of: a criterion's is that of the prediction.
const partner = (name) => (name.startsWith("prediction") ? name.replace("prediction", "grad_input") : `grad_${name}`);

// A card for each array of the module, its gradient below it; what later steps compute is greyed.
function drawCards(now) {
  const found = new Map(); // name -> { record, at }
  steps.forEach((step, k) => {
    if (step.path === now.path) for (const record of step.records) if (!found.has(record.name)) found.set(record.name, { record, at: k, made: record.made });
  });
  const names = [...found.keys()].filter((name) => !name.startsWith("grad_"));
  maps = [];
  $("cards").replaceChildren(...names.map((name) => {
    const card = element("div", { className: "card" });
    card.append(half(name, found.get(name), now));
    if (found.has(partner(name))) card.append(half(partner(name), found.get(partner(name)), now));
    return card;
  }));
}

function half(name, { record, at }, now) {
  const array = arrays[record.array], known = at <= state.at, used = now.records.find((each) => each.name === name);
  const tag = !known ? "not yet" : used?.made ? "made" : used ? "read" : "";
  const box = element("div", { className: `half${known ? "" : " later"}${used?.made ? " made" : ""}` },
    element("div", { className: "head" }, element("code", {}, name), element("span", { className: "muted" }, sizes(array)), element("span", { className: "tag" }, tag)));
  if (!known) {
    const blank = element("div", { className: "blank" });
    shape(blank, array);
    box.append(blank);
  } else if (array.shape.length === 0) {
    box.append(element("p", { className: "number" }, `${short(array.values.data[0], 7)} nats`));
  } else {
    const map = heatmap(array, name);
    maps.push(map);
    box.append(map.picture, map.read);
    if (isColour(array)) box.append(inColour(array, name));
    if (record.shared) box.append(element("p", { className: "muted" }, `the very memory of ${record.shared}`));
  }
  return box;
}

// Three planes of values between 0 and 1, as an image in colour has them.
const isColour = ({ shape: sizes, range, where }) =>
  sizes.length > 2 && sizes.at(-3) === 3 && sizes.slice(0, -3).every((n) => n === 1) && !where && range && range[0] >= 0 && range[2] <= 1;

function inColour({ shape: sizes, values }, name) {
  const canvas = element("canvas", { className: "colour", role: "img", "aria-label": `${name} in colour` });
  paintImage(canvas, values.data, sizes.slice(-3));
  return element("figure", {}, canvas, element("figcaption", { className: "muted" }, "the three planes, as an image"));
}

function drawNudge(now) {
  const mine = data.nudges.filter(({ path }) => path === now.path);
  $("nudge").hidden = mine.length === 0;
  if (!mine.length) return;
  const ready = steps.findIndex((step) => step.path === now.path && step.verb === "acc_grad_parameters") <= state.at;
  state.nudge = Math.min(Math.max(0, state.nudge), mine.length - 1);
  showNudges($("nudge"), mine, ready, state.nudge, (k) => { state.nudge = k; drawNudge(now); keep(); });
}

(function start() {
  const address = readAddress();
  $("at").max = last;
  for (const [id, to] of [["first", () => 0], ["back", () => state.at - 1], ["next", () => state.at + 1], ["last", () => last]]) {
    $(id).addEventListener("click", () => go(to()));
  }
  $("at").addEventListener("input", () => go(+$("at").value));
  document.addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT" || !isOurs(event)) return;
    const to = { ArrowLeft: state.at - 1, ArrowRight: state.at + 1, Home: 0, End: last }[event.key];
    if (to !== undefined) { event.preventDefault(); go(to); }
  });
  if (innerWidth < 900) $("tree").open = $("code-box").open = false;
  startTheme(() => { maps.forEach((map) => map.draw()); keep(); });
  go(parseInt(address.step, 10) || 0, parseInt(address.nudge, 10) || 0);
  window.minivae = { data, arrays, state };
})();
