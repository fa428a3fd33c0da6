// Just enough HTML to fill in a form as a browser without script would: forms, fields, submit buttons.
// It reads tags, not a tree; what stands in comments, scripts and styles is left out.

const entities = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0' };

export const unescape = (text) =>
  text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|([a-z]+));/gi, (whole, hex, decimal, name) => {
    if (hex) return String.fromCodePoint(Number.parseInt(hex, 16));
    if (decimal) return String.fromCodePoint(Number(decimal));
    return entities[name.toLowerCase()] ?? whole;
  });

const attributes = (source) => {
  const found = {};
  for (const [, name, , double, single, bare] of source.matchAll(
    /([^\s"'<>/=]+)(\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/g,
  ))
    found[name.toLowerCase()] ??= unescape(double ?? single ?? bare ?? '');
  return found;
};

const plain = (html) => unescape(html.replace(/<[^>]*>/g, ' ')).replace(/\s+/g, ' ').trim();

/** The text of a page for a person who asks what it said. */
export const textOf = (html) => plain(html.replace(/<(script|style|head)\b[\s\S]*?<\/\1>/gi, ' '));

/** Every form of a page: `{ attributes, fields: [[name, value, type]], buttons: [{ name, value, text, … }] }`. */
export function formsOf(html) {
  const page = html.replace(/<!--[\s\S]*?-->/g, '').replace(/<(script|style)\b[\s\S]*?<\/\1>/gi, '');
  const forms = [];
  const byId = (id) => forms.find((form) => form.attributes.id === id);
  const loose = []; // controls that name their form by `form="id"`, which may come later
  let open;
  const add = (given, put) => {
    if (given.form !== undefined) loose.push(() => { const owner = byId(given.form); if (owner) put(owner); });
    else if (open) put(open);
  };
  for (const tag of page.matchAll(/<(\/?)(form|input|button|select|textarea)\b((?:"[^"]*"|'[^']*'|[^"'>])*)>/gi)) {
    const [whole, closing, rawName, source] = tag;
    const name = rawName.toLowerCase();
    if (closing) { if (name === 'form') open = undefined; continue; }
    const given = attributes(source);
    const rest = page.slice(tag.index + whole.length);
    const inner = rest.slice(0, Math.max(0, rest.search(new RegExp(`</${name}`, 'i'))));
    const disabled = 'disabled' in given;
    if (name === 'form') forms.push((open = { attributes: given, fields: [], buttons: [] }));
    else if (name === 'button') {
      if ((given.type ?? 'submit').toLowerCase() === 'submit')
        add(given, (form) => form.buttons.push({ ...given, disabled, text: plain(inner) }));
    } else if (name === 'input') {
      const type = (given.type ?? 'text').toLowerCase();
      if (type === 'submit' || type === 'image') add(given, (form) => form.buttons.push({ ...given, disabled, text: given.value ?? '' }));
      else if (disabled || !given.name || type === 'button' || type === 'reset') continue;
      else if ((type === 'checkbox' || type === 'radio') && !('checked' in given)) continue;
      else add(given, (form) => form.fields.push([given.name, given.value ?? (type === 'checkbox' ? 'on' : ''), type]));
    } else if (disabled || !given.name) continue;
    else if (name === 'textarea') add(given, (form) => form.fields.push([given.name, unescape(inner), 'textarea']));
    else {
      const options = [...inner.matchAll(/<option\b([^>]*)>([^<]*)/gi)].map(([, at, text]) => ({ ...attributes(at), text: plain(text) }));
      const chosen = options.find((option) => 'selected' in option) ?? options[0];
      if (chosen) add(given, (form) => form.fields.push([given.name, chosen.value ?? chosen.text, 'select']));
    }
  }
  for (const put of loose) put();
  return forms;
}

/** Where `<meta http-equiv=refresh>` leads, if the page has one. */
export const refreshOf = (html) => {
  const found = html.match(/<meta\b[^>]*http-equiv\s*=\s*["']?refresh["']?[^>]*>/i)?.[0].match(/url\s*=\s*([^"'>\s]+)/i);
  return found ? unescape(found[1]) : undefined;
};
