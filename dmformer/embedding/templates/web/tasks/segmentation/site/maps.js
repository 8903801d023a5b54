// Maps of classes: from the engine's input to the pixels of an image, as shares, and as colours.
import { LABELS, PALETTE, PREPROCESSING } from "./parameters.js";
import { Pixels } from "./pixels.js";
import { placement } from "./preprocessing.js";

/** The class of every pixel of an image, row by row: of what the engine gave for its input the nearest. */
export function atPixels(given, width, height) {
  const place = placement(width, height, PREPROCESSING);
  const rows = nearest(place.top, place.height, height, PREPROCESSING.height);
  const columns = nearest(place.left, place.width, width, PREPROCESSING.width);
  const classes = new given.constructor(width * height);
  let at = 0;
  for (const row of rows) for (const column of columns) classes[at++] = given[row * PREPROCESSING.width + column];
  return classes;
}

function nearest(start, length, pixels, side) {
  const place = (_, at) => Math.floor(start + ((at + 0.5) * length) / pixels);
  return Array.from({ length: pixels }, place).map((found) => Math.min(side - 1, Math.max(0, found)));
}

/** @returns {{index: number, label: string, share: number}[]} The classes that are there, the largest first. */
export function sharesOf(classes) {
  const counts = new Array(LABELS.length).fill(0);
  for (const index of classes) counts[index] += 1;
  return counts
    .map((count, index) => ({ index, label: LABELS[index], share: count / classes.length }))
    .filter(({ share }) => share > 0)
    .sort((one, other) => other.share - one.share);
}

/**
 * The image with the classes' colours over it, and a white line where classes meet.
 *
 * @param {Pixels} image RGB.
 * @param {Uint8Array|Int32Array} classes Of its pixels.
 * @param {number} opacity Of the colours, 0 to 1.
 * @returns {Pixels} RGBA, as a canvas takes it.
 */
export function overlay({ width, height, data }, classes, opacity = 0.5) {
  const made = new Pixels(width, height, 4);
  const tint = PALETTE.map((colour) => colour.map((value) => value * opacity));
  for (let at = 0; at < classes.length; ++at) {
    const own = classes[at];
    const right = (at + 1) % width !== 0 && classes[at + 1] !== own;
    const edge = right || (at + width < classes.length && classes[at + width] !== own);
    for (let c = 0; c < 3; ++c) {
      made.data[4 * at + c] = edge ? 255 : evenly(data[3 * at + c] * (1 - opacity) + tint[own][c]);
    }
    made.data[4 * at + 3] = 255;
  }
  return made;
}

/** To a whole number; ties go to the even one, as NumPy's. */
function evenly(value) {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}
