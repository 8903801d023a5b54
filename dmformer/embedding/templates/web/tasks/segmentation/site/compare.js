// What PyTorch answered, and whether the engine answers alike: the class of every pixel.
import { atPixels } from "./maps.js";

/** The classes of a golden sample's pixels. */
export const readAnswer = (sample, golden, read) => read(sample.map, golden.map);

/** The stage "engine": its answers to the golden tensors, whatever is preprocessed here, against PyTorch's. */
export async function compareEngine({ samples, tolerance }, engine) {
  let [equal, pixels] = [0, 0];
  for (const { image, tensor, answer } of samples) {
    const [given] = await engine.run([tensor]);
    const found = atPixels(given, image.width, image.height);
    equal += answer.reduce((sum, own, at) => sum + (own === found[at] ? 1 : 0), 0);
    pixels += answer.length;
  }
  const share = equal / pixels;
  const passed = tolerance.min_agreement === null || share >= tolerance.min_agreement;
  return { passed, facts: `${(100 * share).toFixed(4)} % of ${pixels} pixels have PyTorch's class` };
}
