// onward.d.ts: what stands in a function's scope, for editors and type checkers. A template, and below it one line for
// each lazy package, operators' ones included; the others are written out in the template.
import { readFile } from 'node:fs/promises';

const MARK = '// PACKAGES\n';

function declaration({ global, package: name, version, types }) {
  // Where its types are not installed it is `any`, and no error.
  const ignored = types?.includes('import(') ? '// @ts-ignore\n' : '';
  return `/** ${name} ${version} */\n${ignored}declare const ${global}: ${types ?? 'any'};\n`;
}

export async function declarations(template, packages) {
  const [before, after] = (await readFile(template, 'utf8')).split(MARK);
  const declared = packages.filter((entry) => entry.lazy || !new RegExp(`^declare (?:class|const|function|var) ${entry.global}\\b`, 'm').test(before));
  return `${before}${declared.map(declaration).join('\n')}${after}`;
}
