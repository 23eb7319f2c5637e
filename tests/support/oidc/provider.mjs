// A real OpenID provider for tests: oidc-provider, with a sign-in page that has a button for each account.
// Standard input is {issuer, client, accounts: {subject: claims}}. The packages are in the working directory.
import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { Provider } = createRequire(`${process.cwd()}/`)("oidc-provider");
const { issuer, client, accounts } = JSON.parse(readFileSync(0, "utf8"));
const scope = "openid email profile";

async function key(kid, algorithm) {
  const pair = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  return { ...(await webcrypto.subtle.exportKey("jwk", pair.privateKey)), kid, use: "sig" };
}

function page(ctx, title, content) {
  ctx.type = "html";
  ctx.body = `<!doctype html><html lang="en"><title>${title}</title><main>${content}</main></html>`;
}

const rsa = { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" };
const provider = new Provider(issuer, {
  clients: [{ ...client, scope }],
  jwks: { keys: [await key("one", rsa), await key("two", { name: "ECDSA", namedCurve: "P-256" })] },
  cookies: { keys: [webcrypto.randomUUID()] },
  claims: { email: ["email", "email_verified"], profile: ["name", "groups"] },
  // Claims go into ID tokens; by default, they would have to be fetched.
  conformIdTokenClaims: false,
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId, ...accounts[accountId] }) }),
  // No page asks for consent.
  async loadExistingGrant({ oidc }) {
    const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
    grant.addOIDCScope(scope);
    await grant.save();
    return grant;
  },
  // Without the dispatcher that refuses to connect to loopback, where the installation is.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  interactions: { url: (_, { uid }) => `/sign-in/${uid}` },
  pkce: { required: () => true },
  features: {
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: false },
    rpInitiatedLogout: {
      logoutSource: (ctx, form) => page(ctx, "Sign out", `${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`),
      postLogoutSuccessSource: (ctx) => page(ctx, "Signed out", "You are signed out."),
    },
  },
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/sign-in/")) return next();
  if (ctx.method === "GET") {
    const buttons = Object.entries(accounts).map(([subject, { name }]) => `<button formaction="?${subject}">Continue as ${name}</button>`);
    page(ctx, "Sign in", `<form method="post">${buttons.join("")}</form>`);
    return;
  }
  // Tokens are signed with each key in turn.
  const registered = await provider.Client.find(client.client_id);
  registered.idTokenSignedResponseAlg = registered.idTokenSignedResponseAlg === "RS256" ? "ES256" : "RS256";
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: ctx.querystring } });
  ctx.respond = false;
});

provider.on("backchannel.error", (ctx, error) => console.error(error));
provider.on("server_error", (ctx, error) => console.error(error));
provider.listen(new URL(issuer).port, "127.0.0.1");
