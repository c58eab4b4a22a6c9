"use strict";
// What is drawn on the plane.  It is dark in either theme, as the images on it are.

const PRIOR = [0.5, 0.9, 0.99]; // shares of the prior inside its contours
const GROUND = "#101214", CONTOUR = "#d9dcdd", CURSOR = "#5cc8c9";

// The edge of an ellipse.
function circle(context, x, y, horizontal, vertical, colour, thick) {
  context.beginPath();
  context.ellipse(x, y, horizontal, vertical, 0, 0, 2 * Math.PI);
  context.lineWidth = thick; context.strokeStyle = colour; context.stroke();
}

// A line that is seen on black and on white.
function outlined(context, x, y, horizontal, vertical, colour) {
  circle(context, x, y, horizontal, vertical, GROUND, 4);
  circle(context, x, y, horizontal, vertical, colour, 1.8);
}

// Where the code is, open in the middle.
function cross(context, x, y, colour, thick) {
  context.beginPath();
  for (const [right, down] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    context.moveTo(x + 6 * right, y + 6 * down); context.lineTo(x + 15 * right, y + 15 * down);
  }
  context.lineWidth = thick; context.strokeStyle = colour; context.stroke();
}

// Circles that hold so much of the prior N(0, I).
function drawPrior(context, size, span) {
  const x = size / 2, y = size / 2;
  context.font = "11px system-ui, sans-serif"; context.textAlign = "center"; context.textBaseline = "middle";
  for (const share of PRIOR) {
    const radius = Math.sqrt(-2 * Math.log(1 - share)) * size / (2 * span), text = `${100 * share} %`;
    context.setLineDash([5, 4]);
    circle(context, x, y, radius, radius, CONTOUR, 1.2);
    context.setLineDash([]);
    if (radius > size / 2 - 8) continue;
    const wide = context.measureText(text).width + 8;
    context.fillStyle = GROUND; context.fillRect(x - wide / 2, y - radius - 8, wide, 16);
    context.fillStyle = CONTOUR; context.fillText(text, x, y - radius);
  }
}

// The code of a test image, in the colour of its label.
function dot(context, x, y, image, radius) {
  context.beginPath(); context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = data.colours[data.labels[image] % data.colours.length]; context.fill();
  context.lineWidth = 0.8; context.strokeStyle = "#fff"; context.stroke();
}
