"use strict";
// A code of categorical variables, each one of some categories: a chooser a variable.

function choosersPanel(control) {
  const [, variables, categories] = parameters[0].shape;
  let logits = new Float32Array(variables * categories);
  const largest = (k) => { let best = k * categories; for (let c = best; c < (k + 1) * categories; c++) if (logits[c] > logits[best]) best = c; return best; };
  const choosers = order.map((k) => {
    const group = element("div", { className: "chooser", role: "group" });
    group.setAttribute("aria-label", `variable ${k}, KL ${fixed(data.kl[k])} nats`);
    group.append(element("span", { className: "name" }, subscript(k)), ...Array.from({ length: categories }, (_, c) => button(String(c), () => {
      const now = largest(k), at = k * categories + c;
      [logits[now], logits[at]] = [logits[at], logits[now]]; // the chosen category becomes the likeliest
      apply();
    })), element("span", { className: "note muted" }, `KL ${fixed(data.kl[k])}`));
    return group;
  });
  control.append(element("h2", {}, "Code"), ...choosers,
    element("div", { className: "buttons" }, button("Draw from the prior", () => { logits = logits.map((_, k) => data.prior[k] - Math.log(-Math.log(Math.max(Math.random(), SMALLEST)))); apply(); })),
    element("p", { className: "muted" }, "One category a variable, variables with the largest KL first; fainter categories are less likely in q(z|x)."));
  const softmax = (a) => { // of the categories of each variable
    const z = new Float32Array(a.length);
    for (let k = 0; k < a.length; k += categories) {
      const group = a.subarray(k, k + categories), peak = Math.max(...group), total = group.reduce((sum, each) => sum + Math.exp(each - peak), 0);
      group.forEach((each, c) => { z[k + c] = Math.exp(each - peak) / total; });
    }
    return z;
  };
  const relaxed = relaxedPart(control, logits.length, (u, T) => softmax(logits.map((a, k) =>
    (a - Math.log(-Math.log(Math.min(Math.max(u[k], SMALLEST), 1 - 2 ** -24)))) / T)));

  function apply() {
    state.z = new Float32Array(logits.length);
    for (let k = 0; k < variables; k++) state.z[largest(k)] = 1;
    redraw();
  }
  function pick(image) { state.image = image; logits = Float32Array.from(encoded(image)); showChosen(); apply(); }
  const chosen = () => Array.from({ length: variables }, (_, k) => largest(k) - k * categories);

  return {
    pick, recolour() {}, hint: "Choosing one sets the categories that are most likely for it.",
    draw() {
      const p = softmax(logits);
      order.forEach((k, row) => [...choosers[row].querySelectorAll("button")].forEach((each, c) => {
        each.setAttribute("aria-pressed", state.z[k * categories + c] === 1);
        each.style.opacity = 0.6 + 0.4 * Math.sqrt(p[k * categories + c]);
      }));
      relaxed.draw();
    },
    words: () => `Categories ${chosen().join(", ")}.`,
    address: () => ({ categories: chosen().join(","), T: relaxed.address() }),
    restore: ({ categories: kept, T, image }) => {
      if (image === undefined || state.image < 0) pick(0);
      (kept ?? "").split(",").forEach((c, k) => {
        if (k >= variables || !/^\d+$/.test(c) || +c >= categories) return;
        const now = largest(k), at = k * categories + +c;
        [logits[now], logits[at]] = [logits[at], logits[now]];
      });
      relaxed.restore(T);
      apply();
    },
  };
}
