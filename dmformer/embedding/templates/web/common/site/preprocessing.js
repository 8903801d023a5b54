// From an image to what the engine takes, as PyTorch was given it: see `PREPROCESSING` in parameters.js.
import { ImageError, Pixels } from "./pixels.js";
import { resize } from "./resample.js";

const MAX_RESIZED_PIXELS = 2 ** 27;

/**
 * @param {Pixels} image Of any size; grey, RGB or RGBA, of which alpha is dropped.
 * @param {object} spec `PREPROCESSING` of parameters.js.
 * @returns {Float32Array|Uint8Array} [channels, height, width] values (sample / 255 - mean) / std, in single precision;
 *     where the dtype is uint8, normalizing is the engine's part, and these are samples [height, width, channels].
 */
export function preprocess(image, spec) {
  const { data } = fitted(withChannels(image, spec.mean.length), spec);
  // A copy: an image that has the engine's size already is the caller's own.
  const samples = spec.order === "bgr" ? reversed(data) : data.slice();
  return spec.dtype === "uint8" ? samples : normalized(samples, spec);
}

/** RGB as BGR. */
function reversed(data) {
  return data.map((_, index) => data[index + 2 - 2 * (index % 3)]);
}

function normalized(data, { mean, std }) {
  const channels = mean.length;
  const plane = data.length / channels;
  const tensor = new Float32Array(data.length);
  for (let c = 0; c < channels; ++c) {
    const levels = levelsOf(mean[c], std[c]);
    for (let index = 0, from = c; index < plane; ++index, from += channels) {
      tensor[c * plane + index] = levels[data[from]];
    }
  }
  return tensor;
}

/** What each of the 256 levels becomes; every step is rounded to single precision, as NumPy does it. */
function levelsOf(mean, std) {
  const single = Math.fround;
  const [center, deviation] = [single(mean), single(std)];
  return Float32Array.from({ length: 256 }, (_, level) => single(single(level / 255) - center) / deviation);
}

/** To the channels that the model takes: grey by ITU-R 601 in Pillow's fixed-point form, or RGB. */
function withChannels(image, channels) {
  if (image.channels === channels) return image;
  const made = new Pixels(image.width, image.height, channels);
  const step = image.channels;
  const { data } = image;
  for (let from = 0, to = 0; from < data.length; from += step, to += channels) {
    if (channels === 1) {
      made.data[to] = (data[from] * 19595 + data[from + 1] * 38470 + data[from + 2] * 7471 + 0x8000) >> 16;
    } else {
      for (let c = 0; c < 3; ++c) made.data[to + c] = data[step === 1 ? from : from + c];
    }
  }
  return made;
}

function fitted(image, spec) {
  if (spec.resize === "shorter") return shorterThenCrop(image, spec);
  if (spec.resize === "letterbox") return letterbox(image, spec);
  return boundedResize(image, spec.width, spec.height, spec.filter);
}

function shorterThenCrop(image, spec) {
  const side = spec.shorterSide;
  // The longer side is truncated, not rounded, as in torchvision.
  const width = image.width <= image.height ? side : Math.trunc((side * image.width) / image.height);
  const height = image.height <= image.width ? side : Math.trunc((side * image.height) / image.width);
  const resized = boundedResize(image, width, height, spec.filter);
  const left = rounded((width - spec.width) / 2);
  const top = rounded((height - spec.height) / 2);
  const cropped = new Pixels(spec.width, spec.height, image.channels);
  cropped.paste(resized, left, top, 0, 0, spec.width, spec.height);
  return cropped;
}

/** Where an image of a size lies in the input, in pixels of the input; the rest is padding. */
export function placement(width, height, spec) {
  if (spec.resize === "shorter") throw new ImageError("the input does not show the whole of an image");
  if (spec.resize === "exact") return { top: 0, left: 0, width: spec.width, height: spec.height };
  const scale = Math.min(spec.height / height, spec.width / width);
  const across = Math.min(spec.width, Math.max(1, rounded(width * scale)));
  const down = Math.min(spec.height, Math.max(1, rounded(height * scale)));
  return { top: (spec.height - down) >> 1, left: (spec.width - across) >> 1, width: across, height: down };
}

function letterbox(image, spec) {
  const { top, left, width, height } = placement(image.width, image.height, spec);
  const canvas = new Pixels(spec.width, spec.height, image.channels);
  canvas.data.fill(spec.fill);
  const inner = boundedResize(image, width, height, spec.filter);
  canvas.paste(inner, 0, 0, left, top, width, height);
  return canvas;
}

function boundedResize(image, width, height, filter) {
  if (width * Math.max(height, image.height) > MAX_RESIZED_PIXELS) {
    const sizes = `${image.width}x${image.height} pixels is too elongated to be resized to ${width}x${height}`;
    throw new ImageError(`an image of ${sizes}`);
  }
  return resize(image, width, height, filter);
}

/** Ties go to the even number, as Python's round() does. */
function rounded(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
