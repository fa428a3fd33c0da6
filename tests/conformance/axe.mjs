// One page, judged: by axe-core, in light and in dark, on a phone's width and on a wide one; and a picture of each.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const NARROW = 360, WIDE = 1280;

/** Fails if the page is not in this language, too wide, stopped by its own policy, or has a violation. PICTURES names a folder. */
export async function judge(person, page, language, seen) {
  assert.equal(await person.evaluate('document.documentElement.lang'), language, page);
  await person.evaluate(`${axe}; undefined`);
  for (const scheme of ['light', 'dark']) {
    await person.scheme(scheme);
    for (const width of [NARROW, WIDE]) {
      await person.width(width);
      const overflow = await person.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
      assert.ok(overflow <= 0, `${page} is ${overflow} px wider than ${width}`);
      if (process.env.PICTURES) await person.picture(path.join(process.env.PICTURES, `${page}-${language}-${scheme}-${width}.png`));
      const found = await person.evaluate(`axe.run(document, { resultTypes: ['violations'] }).then(({ violations, passes }) =>
        ({ passes: passes.length, violations: violations.map((v) => v.impact + ': ' + v.id + ': ' + v.help + '\\n    ' + v.nodes.map((n) => n.html + ' ' + n.failureSummary).join('\\n    ')) }))`);
      assert.deepEqual(found.violations, [], `${page}, ${scheme}, ${width} px:\n${found.violations.join('\n')}`);
      assert.ok(found.passes > 5, `${page}: axe looked at nothing`);
    }
  }
  assert.deepEqual(person.complaints, [], page);
  seen.add(page);
}
