// npm oidc-provider that hands out codes for the asking, so that redeeming them can be measured alone:
// ID token and access token both signed (RS256, its own development key of 2048 bits), a refresh token besides.
// Each line of its input is a number; it answers with a line of JSON that holds so many codes.
import { createInterface } from 'node:readline';
import { Provider } from 'oidc-provider';

// What it warns of is no answer.
console.log = console.info = console.warn = console.error;

const port = Number(process.env.BENCH_PORT);
const client_id = process.env.BENCH_CLIENT_ID;
const redirect_uri = process.env.BENCH_REDIRECT_URI;
const resource = 'urn:bench';
const scope = 'openid offline_access';
const provider = new Provider(`http://localhost:${port}`, {
  clients: [
    {
      client_id,
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: [redirect_uri],
    },
  ],
  findAccount: (_, sub) => ({
    accountId: sub,
    claims: () => ({ sub, name: 'Ada Lovelace', email: 'ada@contoso.test', roles: ['Editor'] }),
  }),
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope,
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 3600,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});
provider.listen(port, '127.0.0.1');

async function code(client) {
  const accountId = 'ada';
  const grant = new provider.Grant({ accountId, clientId: client_id });
  grant.addOIDCScope(scope);
  grant.addResourceScope(resource, scope);
  const made = new provider.AuthorizationCode({
    accountId,
    client,
    redirectUri: redirect_uri,
    scope,
    resource,
    grantId: await grant.save(),
    authTime: Math.floor(Date.now() / 1000),
    codeChallenge: process.env.BENCH_CODE_CHALLENGE,
    codeChallengeMethod: 'S256',
    nonce: 'a-nonce',
    sessionUid: 'session',
  });
  return made.save();
}

for await (const line of createInterface({ input: process.stdin })) {
  const client = await provider.Client.find(client_id);
  const codes = [];
  for (let number = 0; number < Number(line); number += 1) codes.push(await code(client));
  process.stdout.write(`${JSON.stringify(codes)}\n`);
}
