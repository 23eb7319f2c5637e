// Asks Gatepass by RFC 7662, 6750, 9728 and 7009 with oauth4webapi, a certified client.
import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";

const { GATEPASS_URL, GATEPASS_VERIFIER_KEY, GATEPASS_TOKEN } = process.env;
// For tests alone: Gatepass is on loopback.
const insecure = { [oauth.allowInsecureRequests]: true };
const client = { client_id: "gateway" };
const secret = oauth.ClientSecretBasic(GATEPASS_VERIFIER_KEY);

// RFC 9728: what the API says of itself.
const resource = new URL(GATEPASS_URL);
const found = await oauth.resourceDiscoveryRequest(resource, insecure);
const metadata = await oauth.processResourceDiscoveryResponse(resource, found);
assert.deepEqual(metadata.bearer_methods_supported, ["header"]);
assert.equal(metadata.authorization_servers, undefined);

const server = {
  issuer: metadata.resource,
  introspection_endpoint: `${GATEPASS_URL}/v1/introspect`,
  revocation_endpoint: `${GATEPASS_URL}/v1/revoke`,
};
async function introspect(token, authentication = secret) {
  const answer = await oauth.introspectionRequest(server, client, authentication, token, insecure);
  return oauth.processIntrospectionResponse(server, client, answer);
}

// RFC 6750: a bearer, and the challenges.
const me = new URL("/v1/me", GATEPASS_URL);
async function challenge(token, url, method = "GET") {
  try {
    await oauth.protectedResourceRequest(token, method, url, undefined, undefined, insecure);
  } catch (error) {
    assert.ok(error instanceof oauth.WWWAuthenticateChallengeError, String(error));
    const [{ scheme, parameters }] = error.cause;
    return { status: error.status, scheme, ...parameters };
  }
  return null;
}
assert.equal(await challenge(GATEPASS_TOKEN, me), null);
const wrong = await challenge("gpat_wrong", me);
assert.deepEqual([wrong.status, wrong.scheme, wrong.error], [401, "bearer", "invalid_token"]);
const lacking = await challenge(GATEPASS_TOKEN, new URL("/v1/roles", GATEPASS_URL));
assert.deepEqual([lacking.status, lacking.error, lacking.scope], [403, "insufficient_scope", "roles:get"]);

// RFC 7662.
const active = await introspect(GATEPASS_TOKEN);
assert.deepEqual([active.active, active.scope, active.token_type], [true, "charges:get", "Bearer"]);
assert.deepEqual(await introspect("gpat_wrong"), { active: false });
await assert.rejects(introspect(GATEPASS_TOKEN, oauth.ClientSecretBasic("gpvk_wrong")));

// RFC 7009: the text is the credential; what else the client sends doesn't matter.
for (const authentication of [secret, oauth.None()]) {
  const answer = await oauth.revocationRequest(server, client, authentication, GATEPASS_TOKEN, insecure);
  await oauth.processRevocationResponse(answer);
}
console.log("done");
