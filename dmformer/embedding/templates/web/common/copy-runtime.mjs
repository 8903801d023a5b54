// Copies the files of onnxruntime-web that the page loads into site/runtime: `npm install` runs this at its end.
import { copyFile, mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const FILES = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
await mkdir(here("site/runtime"), { recursive: true });
for (const name of FILES) {
  await copyFile(here(`node_modules/onnxruntime-web/dist/${name}`), here(`site/runtime/${name}`));
}
console.log(`site/runtime: ${FILES.length} files of onnxruntime-web. The folder site is complete; serve it.`);
