// The golden samples: what PyTorch was given and what it answered, and whether this project does the same.
import { readAnswer } from "./compare.js";
import { PREPROCESSING } from "./parameters.js";
import { Pixels } from "./pixels.js";
import { preprocess } from "./preprocessing.js";

export { compareEngine } from "./compare.js";

const FOLDER = new URL("./golden/", import.meta.url);

async function fetched(name) {
  const answer = await fetch(new URL(name, FOLDER));
  if (!answer.ok) throw new Error(`golden/${name}: cannot be loaded (${answer.status})`);
  return answer;
}

/** @returns {Promise<{tolerance: object, samples: {name, image, tensor, answer}[]}>} */
export async function loadGolden() {
  const golden = await (await fetched("golden.json")).json();
  const samples = await Promise.all(golden.samples.map((sample) => loadSample(sample, golden)));
  return { tolerance: golden.tolerance, samples };
}

async function loadSample(sample, golden) {
  const read = async (name, dtype) => READERS[dtype](await (await fetched(name)).arrayBuffer());
  const [pixels, tensor, answer] = await Promise.all([
    read(sample.pixels, "uint8"),
    read(sample.tensor, golden.dtype),
    readAnswer(sample, golden, read),
  ]);
  const { name, width, height, channels } = sample;
  return { name, image: new Pixels(width, height, channels, pixels), tensor, answer };
}

/** Numbers are little-endian, whatever the machine is. */
const READERS = {
  uint8: (buffer) => new Uint8Array(buffer),
  int32: (buffer) => numbers(buffer, Int32Array, "getInt32"),
  float32: (buffer) => numbers(buffer, Float32Array, "getFloat32"),
};

function numbers(buffer, Values, get) {
  const view = new DataView(buffer);
  return Values.from({ length: buffer.byteLength / 4 }, (_, index) => view[get](4 * index, true));
}

/** The stage "preprocessing": the golden pixels, preprocessed here, against the golden tensors. */
export function comparePreprocessing({ samples, tolerance }) {
  let worst = 0; // 1 is what is allowed.
  let where = "";
  for (const { name, image, tensor } of samples) {
    preprocess(image, PREPROCESSING).forEach((value, index) => {
      const channel = channelOf(index, tensor.length);
      const share = Math.abs(value - tensor[index]) / tolerance.tensor[channel];
      // Written so that a comparison with NaN is the worst.
      if (share <= worst || Number.isNaN(worst)) return;
      worst = share;
      where = `, in channel ${channel} of ${name}`;
    });
  }
  return { passed: worst <= 1, facts: `worst difference ${worst.toFixed(3)} steps of 8 bits${where}` };
}

/** Pixels are [height, width, channels], tensors [channels, height, width]. */
function channelOf(index, length) {
  const channels = PREPROCESSING.mean.length;
  return PREPROCESSING.dtype === "uint8" ? index % channels : Math.floor((index * channels) / length);
}
