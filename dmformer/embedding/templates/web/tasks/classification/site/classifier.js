// An image file in, classes and times out: what an application takes over.
import { Engine } from "./engine.js";
import { loadImage } from "./images.js";
import { LABELS, PREPROCESSING } from "./parameters.js";
import { preprocess } from "./preprocessing.js";

export class Classifier {
  #engine;

  /** @param {object} options Those of `Engine.open`. */
  static async open(options) {
    const classifier = new Classifier();
    classifier.#engine = await Engine.open(options);
    return classifier;
  }

  /**
   * @param {Blob} file A PNG or JPEG.
   * @param {string} name For errors.
   * @returns {Promise<{guesses: {label: string, probability: number}[], milliseconds: object}>} Every class, the
   *     likeliest first, and how long each step took.
   * @throws {ImageError} The file cannot be read.
   */
  async classify(file, name = file.name) {
    const times = [performance.now()];
    const image = await loadImage(file, name);
    times.push(performance.now());
    const tensor = preprocess(image, PREPROCESSING);
    times.push(performance.now());
    const [logits] = await this.#engine.run([tensor]);
    times.push(performance.now());
    const [reading, preprocessing, engine] = times.slice(1).map((time, index) => time - times[index]);
    return { guesses: guessesOf(logits), milliseconds: { reading, preprocessing, engine } };
  }
}

function guessesOf(logits) {
  const largest = logits.reduce((one, other) => Math.max(one, other));
  const shares = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = shares.reduce((one, other) => one + other);
  const guesses = shares.map((share, index) => ({ label: LABELS[index], probability: share / sum }));
  return guesses.sort((one, other) => other.probability - one.probability);
}
