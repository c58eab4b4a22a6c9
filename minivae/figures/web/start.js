"use strict";
// Choose the controls for this kind of code, and begin where the address says.

const PANELS = { GaussianKL: data.units === 2 ? planePanel : slidersPanel, BernoulliKL: bitsPanel, CategoricalKL: choosersPanel };

const panel = PANELS[data.kind]($("control"));

(function start() {
  const address = readAddress(), chosen = parseInt(address.image, 10);
  const what = { GaussianKL: "numbers", BernoulliKL: "bits", CategoricalKL: "categorical variables" }[data.kind];
  $("subtitle").textContent = `A code of ${data.units} ${what}, ${data.active.filter(Boolean).length} of them active; the decoder runs in this page.`;
  $("decoded-caption").textContent = data.likelihood === "bernoulli" && !data.grey ? "decoded: probability of each pixel" : `decoded: mean of each pixel${data.likelihood === "identity_gaussian" ? ", whose variance is 1" : ""}`;
  $("gallery-hint").textContent = panel.hint;
  $("about").textContent = `Weights are kept as ${data.precision}` + (data.precision === "float32" ? ", as they were trained." :
    `: that changes no decoded pixel by more than ${short(data.difference, 2)} (measured on 256 codes, in a range of 0 to 1).`);
  startTheme(() => { panel.recolour(); redraw(); });
  startGallery();
  if (chosen >= 0 && chosen < images.shape[0]) panel.pick(chosen); else showChosen();
  panel.restore(address);
  startLabels(address);
  redraw();
  window.minivae = { decode, state, data };
})();
