// Who calls an MCP server behind Sekisho, by the header `sekisho-identity`. With jose.
import { createRemoteJWKSet, jwtVerify } from 'jose';

export interface Caller {
  /** The person, or the service account: an id that never changes. */
  sub: string;
  name?: string;
  groups?: string[];
  /** The software. */
  client_id: string;
  /** What the software may do, separated by spaces. */
  scope?: string;
  /** The name of the service account, if it is no person. */
  service_account?: string;
}

/** `audience` is the `url` of this MCP server in Sekisho's configuration. What is thrown is a 401. */
export function callers(issuer: string, audience: string): (assertion: string) => Promise<Caller> {
  // Keeps the keys, and fetches them again when one is unknown.
  const keys = createRemoteJWKSet(new URL(`${issuer}/oauth/jwks`));
  const rules = { algorithms: ['ES256'], audience, issuer, requiredClaims: ['exp', 'sub'], typ: 'sekisho-identity+jwt' };
  return async (assertion) => (await jwtVerify<Caller>(assertion, keys, rules)).payload;
}
