"use strict";
// The forward pass of a decoder in evaluation, one function a layer type, by the name of its class in Python.
// An array is { shape, data } of one row, without the batch axis; a table is a JavaScript array of them.

const elementwise = (f) => (layer, x) => ({ shape: x.shape, data: x.data.map(f) });

// The mean of a continuous Bernoulli with logit a, as nn/continuous_bernoulli_criterion.py has it.
const continuousBernoulliMean = (a) => {
  const t = Math.abs(a), e = Math.expm1(-t), s = a * a;
  if (t < 0.25) return 0.5 + a * (1 / 12 - s * (1 / 720 - s * (1 / 30240 - s * (1 / 1209600 - s / 47900160))));
  return a > 0 ? -1 / e - 1 / a : 1 / t + (1 + e) / e;
};
const sigmoid = (a) => (a >= 0 ? 1 / (1 + Math.exp(-a)) : Math.exp(a) / (1 + Math.exp(a)));

const LAYERS = {
  Sequential: (layer, x) => layer.modules.reduce((value, module) => forward(module, value), x),
  ConcatTable: (layer, x) => layer.modules.map((module) => forward(module, x)),
  ParallelTable: (layer, x) => layer.modules.map((module, k) => forward(module, x[k])),
  Identity: (layer, x) => x,
  BernoulliNoise: (layer, x) => x, // noise is off
  GaussianNoise: (layer, x) => x,
  ReLU: elementwise((a) => (a > 0 ? a : 0)),
  Sigmoid: elementwise(sigmoid),
  Tanh: elementwise(Math.tanh),
  SoftPlus: elementwise((a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)))),
  AppendLabel: (layer, x) => { // state.label is chosen on the page
    const data = new Float32Array(x.data.length + layer.classes);
    data.set(x.data);
    data[x.data.length + state.label] = 1;
    return { shape: [data.length], data };
  },
  View: (layer, x) => ({ shape: layer.sizes, data: x.data }),
  Clamp: (layer, x) => elementwise((a) => Math.min(Math.max(a, layer.low ?? -Infinity), layer.high ?? Infinity))(layer, x),
  Linear: linear,
  SpatialConvolution: convolution,
  SpatialFullConvolution: fullConvolution,
  SpatialMaxPooling: maxPooling,
  SpatialAveragePooling: averagePooling,
  SpatialUpSamplingNearest: upSampling,
  BatchNormalization: normalization,
};

function forward(layer, x) {
  return LAYERS[layer.type](layer, x);
}

// The layer with its arrays unpacked, ready for `forward`.
function prepared(layer) {
  const ready = {};
  for (const [name, value] of Object.entries(layer)) {
    if (name === "modules") ready[name] = value.map(prepared);
    else ready[name] = value && value.bytes !== undefined ? unpacked(value) : value;
  }
  return ready;
}

// y = x Wᵀ + b.  W lies input by output, so that inputs of zero, most of them after a ReLU, cost nothing;
// four rows are added at once, which reads and writes y a quarter as often.
function linear({ weight, bias }, x) {
  const [, outputs] = weight.shape, w = weight.data, inputs = x.data;
  const y = bias ? Float32Array.from(bias.data) : new Float32Array(outputs);
  const used = [];
  for (let i = 0; i < inputs.length; i++) if (inputs[i] !== 0) used.push(i);
  let k = 0;
  for (; k + 3 < used.length; k += 4) {
    const a = inputs[used[k]], b = inputs[used[k + 1]], c = inputs[used[k + 2]], d = inputs[used[k + 3]];
    const p = used[k] * outputs, q = used[k + 1] * outputs, r = used[k + 2] * outputs, s = used[k + 3] * outputs;
    for (let o = 0; o < outputs; o++) y[o] += a * w[p + o] + b * w[q + o] + c * w[r + o] + d * w[s + o];
  }
  for (; k < used.length; k++) {
    const a = inputs[used[k]], p = used[k] * outputs;
    for (let o = 0; o < outputs; o++) y[o] += a * w[p + o];
  }
  return { shape: [outputs], data: y };
}

// y[o, r, c] = b[o] + Σ w[o, i, u, v] x[i, r·dh + u − padh, c·dw + v − padw]
function convolution({ weight, bias, step: [dh, dw], pad: [padh, padw] }, x) {
  const [outputs, planes, kh, kw] = weight.shape, [, height, width] = x.shape;
  const rows = sizeAfter(height, kh, dh, padh), columns = sizeAfter(width, kw, dw, padw);
  const y = new Float32Array(outputs * rows * columns), total = new Float64Array(rows * columns);
  for (let o = 0; o < outputs; o++) {
    total.fill(bias.data[o]);
    for (let i = 0; i < planes; i++) for (let u = 0; u < kh; u++) for (let v = 0; v < kw; v++) {
      const a = weight.data[((o * planes + i) * kh + u) * kw + v];
      const [first, last] = reach(v - padw, dw, width, columns);
      for (let r = 0; r < rows; r++) {
        const row = r * dh + u - padh;
        if (row < 0 || row >= height) continue;
        const from = (i * height + row) * width + v - padw;
        for (let c = first; c < last; c++) total[r * columns + c] += a * x.data[from + c * dw];
      }
    }
    y.set(total, o * rows * columns);
  }
  return { shape: [outputs, rows, columns], data: y };
}

// y[i, r, c] = the largest x in the window; what is beyond the border never is.
function maxPooling({ kernel: [kh, kw], step: [dh, dw], pad: [padh, padw], ceil }, x) {
  const [planes, height, width] = x.shape;
  const rows = sizeAfter(height, kh, dh, padh, ceil), columns = sizeAfter(width, kw, dw, padw, ceil);
  const y = new Float32Array(planes * rows * columns).fill(-Infinity);
  for (let i = 0; i < planes; i++) for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
    const at = (i * rows + r) * columns + c;
    for (let u = Math.max(0, r * dh - padh); u < Math.min(height, r * dh - padh + kh); u++) {
      for (let v = Math.max(0, c * dw - padw); v < Math.min(width, c * dw - padw + kw); v++) {
        y[at] = Math.max(y[at], x.data[(i * height + u) * width + v]);
      }
    }
  }
  return { shape: [planes, rows, columns], data: y };
}

// y[i, r, c] = the mean of the window, whose padding counts as zeros, or not at all.
function averagePooling({ kernel: [kh, kw], step: [dh, dw], pad: [padh, padw], ceil, padding }, x) {
  const [planes, height, width] = x.shape;
  const rows = sizeAfter(height, kh, dh, padh, ceil), columns = sizeAfter(width, kw, dw, padw, ceil);
  const y = new Float32Array(planes * rows * columns);
  for (let i = 0; i < planes; i++) for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
    const top = r * dh - padh, left = c * dw - padw;
    const [firstRow, lastRow] = [Math.max(0, top), Math.min(height, top + kh)];
    const [firstColumn, lastColumn] = [Math.max(0, left), Math.min(width, left + kw)];
    let total = 0;
    for (let u = firstRow; u < lastRow; u++) for (let v = firstColumn; v < lastColumn; v++) {
      total += x.data[(i * height + u) * width + v];
    }
    const count = padding ? (Math.min(top + kh, height + padh) - top) * (Math.min(left + kw, width + padw) - left)
      : (lastRow - firstRow) * (lastColumn - firstColumn);
    y[(i * rows + r) * columns + c] = total / count;
  }
  return { shape: [planes, rows, columns], data: y };
}

// y[o, r·dh + u − padh, c·dw + v − padw] += w[i, o, u, v] x[i, r, c], from b[o]
function fullConvolution({ weight, bias, step: [dh, dw], pad: [padh, padw], more: [adjh, adjw] }, x) {
  const [planes, outputs, kh, kw] = weight.shape, [, height, width] = x.shape;
  const rows = (height - 1) * dh - 2 * padh + kh + adjh, columns = (width - 1) * dw - 2 * padw + kw + adjw;
  const y = new Float32Array(outputs * rows * columns), total = new Float64Array(rows * columns);
  for (let o = 0; o < outputs; o++) {
    total.fill(bias.data[o]);
    for (let i = 0; i < planes; i++) for (let u = 0; u < kh; u++) for (let v = 0; v < kw; v++) {
      const a = weight.data[((i * outputs + o) * kh + u) * kw + v];
      for (let r = 0; r < height; r++) for (let c = 0; c < width; c++) {
        const row = r * dh + u - padh, column = c * dw + v - padw;
        if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
        total[row * columns + column] += a * x.data[(i * height + r) * width + c];
      }
    }
    y.set(total, o * rows * columns);
  }
  return { shape: [outputs, rows, columns], data: y };
}

// Each pixel becomes scale × scale of them.
function upSampling({ scale }, x) {
  const [planes, height, width] = x.shape, rows = height * scale, columns = width * scale;
  const y = new Float32Array(planes * rows * columns);
  for (let k = 0; k < y.length; k++) {
    const i = Math.floor(k / (rows * columns)), r = Math.floor(k / columns) % rows, c = k % columns;
    y[k] = x.data[(i * height + Math.floor(r / scale)) * width + Math.floor(c / scale)];
  }
  return { shape: [planes, rows, columns], data: y };
}

// y = w (x − mean) / √(variance + ε) + b  for each plane, with the mean and variance that training left; or no w and b.
function normalization({ weight, bias, mean, variance, epsilon }, x) {
  const size = x.data.length / mean.data.length;
  const data = x.data.map((a, k) => {
    const i = Math.floor(k / size);
    const normalized = (a - mean.data[i]) / Math.sqrt(variance.data[i] + epsilon);
    return weight ? normalized * weight.data[i] + bias.data[i] : normalized;
  });
  return { shape: x.shape, data };
}

function sizeAfter(size, kernel, stride, padding, ceil = false) {
  const steps = (size + 2 * padding - kernel) / stride;
  if (!ceil) return Math.floor(steps) + 1;
  return Math.ceil(steps) * stride >= size + padding ? Math.ceil(steps) : Math.ceil(steps) + 1;
}

// [first, last) output columns whose input column, c·stride + offset, is in the image.
const reach = (offset, stride, size, columns) =>
  [Math.max(0, Math.ceil(-offset / stride)), Math.min(columns, Math.floor((size - 1 - offset) / stride) + 1)];
