// openid-client, which stands on oauth4webapi. It checks ID tokens against the key set when told to.

import * as client from "openid-client";

import { answering } from "./answering.mjs";

let config;
let begun;

function authentication({ secret, basic }) {
  if (!secret) return client.None();
  return basic ? client.ClientSecretBasic(secret) : client.ClientSecretPost(secret);
}

function shown(answer) {
  return { ...answer, claims: answer.claims() };
}

await answering({
  async open({ issuer, clientId, insecure = false, ...proof }) {
    const options = insecure ? { execute: [client.allowInsecureRequests] } : {};
    config = await client.discovery(new URL(issuer), clientId, undefined, authentication(proof), options);
    client.enableNonRepudiationChecks(config);
    return { ...config.serverMetadata() };
  },

  async begin({ redirectUri, scope, ...more }) {
    begun = {
      pkceCodeVerifier: client.randomPKCECodeVerifier(),
      expectedNonce: client.randomNonce(),
      expectedState: client.randomState(),
    };
    const address = client.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri,
      scope,
      nonce: begun.expectedNonce,
      state: begun.expectedState,
      code_challenge: await client.calculatePKCECodeChallenge(begun.pkceCodeVerifier),
      code_challenge_method: "S256",
      ...more,
    });
    return address.href;
  },

  async complete({ url, form, ...changes }) {
    const back = form
      ? new Request(url, { method: "POST", body: new URLSearchParams(form) })
      : new URL(url);
    const checks = { ...begun, idTokenExpected: true, ...changes };
    return shown(await client.authorizationCodeGrant(config, back, checks));
  },

  async refresh({ refreshToken, ...parameters }) {
    return shown(await client.refreshTokenGrant(config, refreshToken, parameters));
  },

  async userInfo({ accessToken, subject }) {
    return client.fetchUserInfo(config, accessToken, subject);
  },

  async inOwnName({ scope }) {
    return client.clientCredentialsGrant(config, { scope });
  },

  async signOut({ ...parameters }) {
    return client.buildEndSessionUrl(config, parameters).href;
  },
});
