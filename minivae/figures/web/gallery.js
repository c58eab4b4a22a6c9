"use strict";
// Test images to choose from.

const SHOWN = 24;

function startGallery() {
  for (let image = 0; image < Math.min(SHOWN, images.shape[0]); image++) {
    const choose = button("", () => panel.pick(image));
    choose.append(thumbnail(pixelsOf(image)));
    choose.setAttribute("aria-label", nameOf(image));
    choose.title = nameOf(image);
    $("thumbnails").append(choose);
  }
}

// A chooser of the label that codes are decoded under, for a model that is given labels.
function startLabels(address) {
  $("label-part").hidden = !data.given;
  if (!data.given) return;
  $("label").append(...data.names.map((name, label) => element("option", { value: label }, name)));
  const chosen = parseInt(address.label, 10);
  setLabel(chosen >= 0 && chosen < data.given ? chosen : state.label);
  $("label").addEventListener("change", () => { setLabel(+$("label").value); redraw(); });
}

function setLabel(label) {
  state.label = label;
  $("label").value = label;
}

// Show which image is chosen, beside what is decoded.
function showChosen() {
  $("chosen-figure").hidden = state.image < 0;
  [...$("thumbnails").children].forEach((each, image) => each.setAttribute("aria-pressed", image === state.image));
  if (state.image < 0) return;
  if (data.given) setLabel(data.labels[state.image]);
  paintImage($("chosen"), pixelsOf(state.image), data.image);
  $("chosen-caption").textContent = nameOf(state.image);
}
