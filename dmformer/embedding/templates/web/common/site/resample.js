// Pillow's resampling (its src/libImaging/Resample.c and Geometry.c), to the last bit: coefficients in double
// precision, rounded to 22 bits after the point; two passes with 8-bit pixels in between.
import { Pixels } from "./pixels.js";

const PRECISION_BITS = 32 - 8 - 2;

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

const KERNELS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight(signed) {
      const a = -0.5;
      const x = Math.abs(signed);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (-3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** For each output position: the first input position, how many, and their weights in fixed point. */
function tapsOf(inSize, outSize, kernel) {
  const scale = inSize / outSize;
  const filterScale = Math.max(scale, 1);
  const support = kernel.support * filterScale;
  const step = 1 / filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const taps = { stride, first: new Int32Array(outSize), count: new Int32Array(outSize) };
  taps.weights = new Int32Array(stride * outSize);
  for (let out = 0; out < outSize; ++out) {
    const center = (out + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const last = Math.min(inSize, Math.trunc(center + support + 0.5));
    const weights = Array.from({ length: last - first }, (_, index) =>
      kernel.weight((index + first - center + 0.5) * step),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    weights.forEach((weight, index) => {
      taps.weights[out * stride + index] = fixedPoint(sum === 0 ? weight : weight / sum);
    });
    taps.first[out] = first;
    taps.count[out] = last - first;
  }
  return taps;
}

function fixedPoint(weight) {
  const scaled = weight * (1 << PRECISION_BITS);
  return Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

/** The weighted sum of `count` samples, `pitch` apart, from `at` on, as one sample. */
function weighted(data, at, pitch, weights, from, count) {
  let sum = 1 << (PRECISION_BITS - 1);
  for (let index = 0; index < count; ++index) sum = (sum + data[at + index * pitch] * weights[from + index]) | 0;
  const value = sum >> PRECISION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

function resizeRows(image, width, kernel) {
  const { channels, height, data } = image;
  const { stride, first, count, weights } = tapsOf(image.width, width, kernel);
  const made = new Pixels(width, height, channels);
  let to = 0;
  for (let y = 0; y < height; ++y) {
    const row = y * image.width * channels;
    for (let x = 0; x < width; ++x) {
      const at = row + first[x] * channels;
      for (let c = 0; c < channels; ++c) {
        made.data[to++] = weighted(data, at + c, channels, weights, x * stride, count[x]);
      }
    }
  }
  return made;
}

function resizeColumns(image, height, kernel) {
  const samples = image.width * image.channels;
  const { stride, first, count, weights } = tapsOf(image.height, height, kernel);
  const made = new Pixels(image.width, height, image.channels);
  let to = 0;
  for (let y = 0; y < height; ++y) {
    for (let sample = 0; sample < samples; ++sample) {
      made.data[to++] = weighted(image.data, first[y] * samples + sample, samples, weights, y * stride, count[y]);
    }
  }
  return made;
}

/** Pillow's order in release 13: the pixels between the passes are rounded, so that the order shows. */
function columnsFirst(image, width, height) {
  const less = image.height - height;
  return less > 0 && less > (image.width - width) * 2;
}

/** The input position of each output position; Pillow adds the steps up, so that their rounding does too. */
function nearestPositions(inSize, outSize) {
  const step = inSize / outSize;
  const positions = new Int32Array(outSize);
  let at = step * 0.5;
  for (let out = 0; out < outSize; ++out, at += step) positions[out] = Math.trunc(at);
  return positions;
}

function nearest(image, width, height) {
  const columns = nearestPositions(image.width, width);
  const rows = nearestPositions(image.height, height);
  const { channels } = image;
  const made = new Pixels(width, height, channels);
  for (let y = 0; y < height; ++y) {
    for (let x = 0; x < width; ++x) {
      // Beyond the edge, where the sum of the steps may end, Pillow leaves black.
      if (rows[y] >= image.height || columns[x] >= image.width) continue;
      const from = (rows[y] * image.width + columns[x]) * channels;
      for (let c = 0; c < channels; ++c) made.data[(y * width + x) * channels + c] = image.data[from + c];
    }
  }
  return made;
}

/**
 * @param {Pixels} image
 * @param {number} width
 * @param {number} height
 * @param {"nearest"|"bilinear"|"bicubic"|"lanczos"} filter
 * @returns {Pixels} The image itself where it has that size already.
 */
export function resize(image, width, height, filter) {
  if (image.width === width && image.height === height) return image;
  if (filter === "nearest") return nearest(image, width, height);
  const kernel = KERNELS[filter];
  // Neither pass is made where it would change nothing: the same size is a copy in Pillow too.
  const across = (from) => (from.width === width ? from : resizeRows(from, width, kernel));
  const down = (from) => (from.height === height ? from : resizeColumns(from, height, kernel));
  return columnsFirst(image, width, height) ? across(down(image)) : down(across(image));
}
