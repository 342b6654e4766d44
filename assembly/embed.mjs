// Writes the compiled module into the JavaScript that loads it: a package without a file to find at run time.
import { readFileSync, writeFileSync } from 'node:fs';

const wasm = readFileSync(new URL('../build/heartwire.wasm', import.meta.url));
writeFileSync(
  new URL('../src/codec/module-bytes.ts', import.meta.url),
  `// Built by assembly/embed.mjs from assembly/, not committed.\nexport const MODULE_BYTES =\n  '${wasm.toString('base64')}';\n`,
);
