// Brings a customer into Gatepass. Run it again at any time, or with `leave` to end it.
import { Admin, GatepassError, external } from "@gatepass/client";

const { GATEPASS_URL = "", GATEPASS_ADMIN_KEY = "" } = process.env;
const admin = new Admin({ url: GATEPASS_URL, key: GATEPASS_ADMIN_KEY });
// Your ids.
const [customer, shop] = ["customer-42", "shops/7"];

try {
  const company = await admin.companies.put(customer, { name: "Turin Shoes" });
  const owner = await admin.owners.put(company.id, shop, {
    type: "external",
    name: "Shop in Turin",
    role: "customer-service",
  });
  const active = await Array.fromAsync(
    admin.accessTokens.list(company.id, { status: "active", owner: owner.id }),
  );
  if (active.length === 0) {
    const made = await admin.accessTokens.create(
      company.id,
      { label: "Till", kind: "api", permissions: ["charges:get"], owner: { id: owner.id } },
      { idempotencyKey: `till-of-${owner.id}` },
    );
    // Hand it over: no later answer has it.
    console.log("token:", made.token.reveal());
    active.push(made);
  }
  for (const { id } of active) {
    const token = await admin.accessTokens.modify(company.id, id, { label: "Till 1" });
    console.log("active:", token.label, "of", token.owner.external_id);
  }
  if (process.argv.includes("leave")) {
    // Ends all that the company owns.
    const ended = await admin.companies.deactivate(external(customer));
    console.log("company:", ended.status);
  }
} catch (error) {
  if (!(error instanceof GatepassError)) throw error;
  console.error(error.message, error.errors);
  process.exitCode = 1;
}
