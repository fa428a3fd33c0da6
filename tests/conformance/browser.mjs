// What a browser does between two pages: cookies (RFC 6265bis), Origin, Sec-Fetch-*, Referrer-Policy, CSP form-action.
// Strict where browsers are strict, so that a page which works here works for a person.

const loopback = (host) => host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || /^127\./.test(host);
// "Site" as Fetch has it, without the public-suffix list: good enough for hosts of a test.
const site = (origin) => { const { protocol, hostname } = new URL(origin); return `${protocol}//${/^[\d.]+$|^\[/.test(hostname) ? hostname : hostname.split('.').slice(-2).join('.')}`; };
const sameSite = (a, b) => site(a) === site(b);

/** Cookies. As in every browser they are kept per host: the port does not separate them (RFC 6265, 8.5). */
export class Cookies {
  #kept = [];

  store(url, response, { crossSite = false } = {}) {
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...rest] = line.split(';');
      const at = pair.indexOf('=');
      const name = pair.slice(0, at).trim(), value = pair.slice(at + 1).trim();
      const given = Object.fromEntries(rest.map((part) => { const i = part.indexOf('='); return i < 0 ? [part.trim().toLowerCase(), ''] : [part.slice(0, i).trim().toLowerCase(), part.slice(i + 1).trim()]; }));
      const secure = 'secure' in given, trusted = url.protocol === 'https:' || loopback(url.hostname);
      if (at < 1 || (secure && !trusted)) continue;
      if (name.startsWith('__Secure-') && !secure) continue;
      if (name.startsWith('__Host-') && !(secure && given.path === '/' && !('domain' in given))) continue;
      const domain = given.domain?.replace(/^\./, '').toLowerCase();
      if (domain && url.hostname !== domain && !url.hostname.endsWith(`.${domain}`)) continue;
      const mode = (given.samesite ?? 'lax').toLowerCase();
      if (mode === 'none' && !secure) continue;
      const path = given.path?.startsWith('/') ? given.path : url.pathname.replace(/\/[^/]*$/, '') || '/';
      const age = given['max-age'] !== undefined ? Number(given['max-age']) * 1000 : given.expires !== undefined ? Date.parse(given.expires) - Date.now() : undefined;
      const same = (cookie) => cookie.name === name && cookie.path === path && cookie.host === (domain ?? url.hostname);
      const before = this.#kept.find(same);
      this.#kept = this.#kept.filter((cookie) => !same(cookie));
      if (age !== undefined && !(age > 0)) continue;
      this.#kept.push({ name, value, path, host: domain ?? url.hostname, exact: !domain, secure, mode, until: age === undefined ? Infinity : Date.now() + age, made: before?.made ?? this.#kept.length, crossSite });
    }
  }

  /** The Cookie header of one top-level navigation. */
  header(url, { method, crossSite }) {
    return this.#kept
      .filter((c) => c.until > Date.now() && (c.exact ? c.host === url.hostname : url.hostname === c.host || url.hostname.endsWith(`.${c.host}`)))
      .filter((c) => url.pathname === c.path || (url.pathname.startsWith(c.path) && (c.path.endsWith('/') || url.pathname[c.path.length] === '/')))
      .filter((c) => !c.secure || url.protocol === 'https:' || loopback(url.hostname))
      .filter((c) => !crossSite || c.mode === 'none' || (c.mode === 'lax' && method === 'GET'))
      .sort((a, b) => b.path.length - a.path.length || a.made - b.made)
      .map((c) => `${c.name}=${c.value}`)
      .join('; ');
  }

  get size() { return this.#kept.length; }
}

/** Whether a `form-action` source list admits a URL. */
export function formActionAdmits(sources, url, page) {
  return sources.some((source) => {
    if (source === "'none'") return false;
    if (source === "'self'") return url.origin === page.origin;
    if (source === '*') return /^https?:$/.test(url.protocol);
    if (/^[a-z][a-z0-9+.-]*:$/i.test(source)) return url.protocol === source.toLowerCase() || (source === 'http:' && url.protocol === 'https:');
    const parts = source.match(/^(?:([a-z][a-z0-9+.-]*):\/\/)?(\*\.)?(\[[^\]]+\]|[^:/]+)(?::(\d+|\*))?(\/[^?#]*)?$/i);
    if (!parts) return false;
    const [, scheme, wild, host, port, path] = parts;
    if (scheme ? `${scheme.toLowerCase()}:` !== url.protocol : url.protocol !== page.protocol && url.protocol !== 'https:') return false;
    if (wild ? !url.hostname.endsWith(`.${host.toLowerCase()}`) : url.hostname !== host.toLowerCase()) return false;
    const effective = url.port || (url.protocol === 'https:' ? '443' : '80');
    if (port !== '*' && (port ?? (url.protocol === 'https:' ? '443' : '80')) !== effective) return false;
    return !path || path === '/' || url.pathname === path || (path.endsWith('/') && url.pathname.startsWith(path));
  });
}

/** The sources of `form-action` that a page sets, one list per policy. */
export const formActionsOf = (response) =>
  (response.headers.get('content-security-policy') ?? '')
    .split(',')
    .map((policy) => policy.split(';').map((part) => part.trim().split(/\s+/)).find(([name]) => name?.toLowerCase() === 'form-action'))
    .filter(Boolean)
    .map(([, ...sources]) => sources);

/** The Origin that a form POST carries (Fetch, "append a request Origin header"). */
export function originOf(page, policy, url) {
  if (policy === 'no-referrer') return 'null';
  const downgrade = page.protocol === 'https:' && url.protocol === 'http:' && !loopback(url.hostname);
  if (/^(no-referrer-when-downgrade|strict-origin|strict-origin-when-cross-origin)$/.test(policy) && downgrade) return 'null';
  if (policy === 'same-origin' && page.origin !== url.origin) return 'null';
  return page.origin;
}

/** How the request for `chain.at(-1)` stands to the page that caused it, as `Sec-Fetch-Site` says it. */
export function fetchSite(initiator, chain) {
  if (!initiator) return 'none';
  let answer = 'same-origin';
  for (const url of chain) {
    if (url.origin === initiator.origin) continue;
    if (!sameSite(url.origin, initiator.origin)) return 'cross-site';
    answer = 'same-site';
  }
  return answer;
}
