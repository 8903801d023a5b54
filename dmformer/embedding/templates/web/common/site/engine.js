// The engine, run by onnxruntime-web: WebAssembly, from files beside this one. Nothing is loaded from elsewhere.
import { BATCH, ENGINE_FILE, INPUT, INPUT_SHAPE, OUTPUT, PREPROCESSING } from "./parameters.js";

const RUNTIME = new URL("./runtime/", import.meta.url);
const WARM_UP_MS = 300;

const ELEMENTS = INPUT_SHAPE.reduce((product, side) => product * side, 1);
const Values = PREPROCESSING.dtype === "uint8" ? Uint8Array : Float32Array;

export class Engine {
  #ort;
  #session;

  /**
   * @param {object} options
   * @param {(share: number) => void} options.progress Told how much of the engine has been loaded, 0 to 1.
   * @param {number} options.threads 0 leaves it to the runtime: half of the cores, 4 at most. Where the server does not
   *     isolate the page there is one only: see the README.
   */
  static async open({ progress = () => {}, threads = 0 } = {}) {
    const engine = new Engine();
    engine.#ort = await loadRuntime(threads);
    const bytes = await download(new URL(ENGINE_FILE, import.meta.url), progress);
    engine.#session = await openSession(engine.#ort, bytes);
    await engine.#warmUp();
    return engine;
  }

  /**
   * @param {(Float32Array|Uint8Array)[]} images Each as `preprocess` makes it.
   * @returns {Promise<(Float32Array|Uint8Array|Int32Array)[]>} What the engine gives for each: logits, or classes.
   */
  async run(images) {
    const size = BATCH || 1;
    const found = [];
    for (let start = 0; start < images.length; start += size) {
      const part = images.slice(start, start + size);
      // The last batch of a fixed size is filled up with zeros.
      const batch = new Values(size * ELEMENTS);
      part.forEach((image, index) => batch.set(image, index * ELEMENTS));
      const feeds = { [INPUT]: new this.#ort.Tensor(PREPROCESSING.dtype, batch, [size, ...INPUT_SHAPE]) };
      const output = (await this.#session.run(feeds, [OUTPUT]))[OUTPUT];
      const length = output.data.length / size;
      part.forEach((_, index) => found.push(output.data.slice(index * length, (index + 1) * length)));
      output.dispose();
    }
    return found;
  }

  /** First runs are slow: memory is allocated, and browsers compile WebAssembly a second time, for speed. */
  async #warmUp() {
    const end = performance.now() + WARM_UP_MS;
    do await this.run([new Values(ELEMENTS)]);
    while (performance.now() < end);
  }

  async close() {
    await this.#session.release();
  }
}

async function loadRuntime(threads) {
  const ort = await import(new URL("ort.wasm.min.mjs", RUNTIME).href).catch((error) => {
    throw new Error("runtime/: cannot be loaded; run `npm install` in the project's folder", { cause: error });
  });
  ort.env.wasm.wasmPaths = RUNTIME.href;
  ort.env.wasm.numThreads = threads;
  return ort;
}

async function openSession(ort, bytes) {
  const session = ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  return session.catch((error) => {
    throw new Error(`${ENGINE_FILE}: cannot be opened by onnxruntime-web: ${error.message}`, { cause: error });
  });
}

async function download(url, progress) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${ENGINE_FILE}: cannot be loaded (${answer.status})`);
  const total = Number(answer.headers.get("Content-Length"));
  const parts = [];
  let loaded = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    loaded += value.length;
    if (total) progress(Math.min(1, loaded / total));
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
