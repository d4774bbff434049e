import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "../../assets/viewer");
const at = (name: string) => join(here, name);

/** Every file the bundle is made of, by path. `tests/ui/test_viewer_bundle.py` makes the same hash without Node. */
function sources(): string[] {
  const all = (folder: string): string[] => readdirSync(at(folder), { recursive: true, withFileTypes: true }).filter((one) => one.isFile()).map((one) => relative(here, join(one.parentPath, one.name)));
  return [...all("src"), ...all("stubs"), "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"].sort();
}

function digest(): string {
  const hash = createHash("sha256");
  for (const name of sources()) hash.update(`${name}\0`).update(readFileSync(at(name))).update("\0");
  return hash.digest("hex");
}

/** The bundle says which sources it was built from. */
const manifest = {
  name: "manifest",
  closeBundle() {
    writeFileSync(join(out, "manifest.json"), `${JSON.stringify({ sources: digest(), files: readdirSync(out).filter((name) => name !== "manifest.json").sort() }, null, 2)}\n`);
  },
};

/**
 * vtk.js 36 fails in taking down an image that was never drawn (a viewport closed before its first frame), in the middle of the
 * drawing of the others, and every viewport stays black from then on. A newer vtk.js that has it mended stops the build here.
 */
const mended = {
  name: "mended",
  transform(code: string, id: string) {
    if (!id.endsWith("vtk.js/Rendering/OpenGL/ImageMapper.js")) return null;
    const broken = "model.openGLTexture.releaseGraphicsResources(renderWindow)";
    if (!code.includes(broken)) throw new Error("vtk.js's ImageMapper is another one; see whether `mended` is still needed");
    return { code: code.replace(broken, "model.openGLTexture?.releaseGraphicsResources(renderWindow)"), map: null };
  },
};

export default defineConfig({
  base: "./",
  root: here,
  publicDir: false,
  resolve: { alias: { xmlbuilder2: at("stubs/xmlbuilder2.ts"), events: at("node_modules/events/events.js"), url: at("node_modules/url/url.js") } },
  worker: { format: "es" },
  build: {
    target: "es2022",
    outDir: out,
    emptyOutDir: true,
    modulePreload: false,
    chunkSizeWarningLimit: 6000,
    rollupOptions: {
      input: { viewer: at("src/main.ts"), compare: at("src/compare/compare.ts") },
      preserveEntrySignatures: "strict",
      output: { entryFileNames: "[name].js", chunkFileNames: "[name]-[hash].js", assetFileNames: "[name]-[hash][extname]" },
    },
  },
  plugins: [mended, manifest],
});
