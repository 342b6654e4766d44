/** Takes the methods of Buffer that Node does not document away, until ./restore.ts is imported. */
const NAMES = ['latin1Slice', 'utf8Slice', 'utf8Write'];

const prototype = Buffer.prototype as unknown as Record<string, unknown>;
const hidden = NAMES.map((name) => [name, prototype[name]] as const);
for (const name of NAMES) prototype[name] = undefined;

export function restore(): void {
  for (const [name, method] of hidden) prototype[name] = method;
}
