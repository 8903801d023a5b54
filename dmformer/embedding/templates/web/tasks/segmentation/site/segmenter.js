// An image file in, the class of every pixel and times out: what an application takes over.
import { Engine } from "./engine.js";
import { loadImage } from "./images.js";
import { atPixels } from "./maps.js";
import { PREPROCESSING } from "./parameters.js";
import { preprocess } from "./preprocessing.js";

export class Segmenter {
  #engine;

  /** @param {object} options Those of `Engine.open`. */
  static async open(options) {
    const segmenter = new Segmenter();
    segmenter.#engine = await Engine.open(options);
    return segmenter;
  }

  /**
   * @param {Blob} file A PNG or JPEG.
   * @param {string} name For errors.
   * @returns {Promise<{image: Pixels, classes: Uint8Array|Int32Array, milliseconds: object}>} The image, the class of
   *     every pixel, row by row, and how long each step took. `maps.js` makes shares and overlays of them.
   * @throws {ImageError} The file cannot be read.
   */
  async segment(file, name = file.name) {
    const times = [performance.now()];
    const image = await loadImage(file, name);
    times.push(performance.now());
    const tensor = preprocess(image, PREPROCESSING);
    times.push(performance.now());
    const [given] = await this.#engine.run([tensor]);
    times.push(performance.now());
    const classes = atPixels(given, image.width, image.height);
    times.push(performance.now());
    const [reading, preprocessing, engine, pixels] = times.slice(1).map((time, index) => time - times[index]);
    return { image, classes, milliseconds: { reading, preprocessing, engine, pixels } };
  }
}
