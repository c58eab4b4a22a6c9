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

// Show which image is chosen, beside what is decoded.
function showChosen() {
  $("chosen-figure").hidden = state.image < 0;
  [...$("thumbnails").children].forEach((each, image) => each.setAttribute("aria-pressed", image === state.image));
  if (state.image < 0) return;
  paintImage($("chosen"), pixelsOf(state.image), data.image);
  $("chosen-caption").textContent = nameOf(state.image);
}
