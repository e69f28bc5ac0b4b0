// MSAL for Node. `open` makes an application and forgets the one before, cache and all.

import { ConfidentialClientApplication, CryptoProvider, PublicClientApplication } from "@azure/msal-node";

import { answering } from "./answering.mjs";

const crypto = new CryptoProvider();
let app;
let begun;
let waiting;

function shown(answer) {
  return (
    answer && {
      accessToken: answer.accessToken,
      claims: answer.idTokenClaims,
      account: answer.account,
      scopes: answer.scopes,
      fromCache: answer.fromCache,
      tenantId: answer.tenantId,
    }
  );
}

async function onlyAccount() {
  const accounts = await app.getTokenCache().getAllAccounts();
  if (accounts.length !== 1) throw new Error(`${accounts.length} accounts are known`);
  return accounts[0];
}

await answering({
  async open({ auth, confidential }) {
    app = confidential ? new ConfidentialClientApplication({ auth }) : new PublicClientApplication({ auth });
  },

  async begin({ scopes, redirectUri, ...more }) {
    const { verifier, challenge } = await crypto.generatePkceCodes();
    begun = { scopes, redirectUri, nonce: crypto.createNewGuid(), state: crypto.createNewGuid(), verifier };
    return app.getAuthCodeUrl({
      scopes,
      redirectUri,
      nonce: begun.nonce,
      state: begun.state,
      codeChallenge: challenge,
      codeChallengeMethod: "S256",
      ...more,
    });
  },

  async complete({ parameters, ...changes }) {
    const { scopes, redirectUri, nonce, state, verifier } = { ...begun, ...changes };
    const request = { code: parameters.code, scopes, redirectUri, nonce, state, codeVerifier: verifier };
    return shown(await app.acquireTokenByCode(request, parameters));
  },

  async silent({ scopes, forceRefresh = false }) {
    return shown(await app.acquireTokenSilent({ account: await onlyAccount(), scopes, forceRefresh }));
  },

  async inOwnName({ scopes }) {
    return shown(await app.acquireTokenByClientCredential({ scopes }));
  },

  async onBehalfOf({ token, scopes }) {
    return shown(await app.acquireTokenOnBehalfOf({ oboAssertion: token, scopes }));
  },

  // The device waits in the background; the answer to this is what it shows to the person.
  async beginDevice({ scopes }) {
    return new Promise((tell, fail) => {
      waiting = app.acquireTokenByDeviceCode({ scopes, deviceCodeCallback: tell });
      waiting.catch(fail);
    });
  },

  async completeDevice() {
    return shown(await waiting);
  },
});
