// A service whose every call Gatepass decides about.
import { createServer } from "node:http";
import { GatepassError, Verifier, type Decision } from "@gatepass/client";

const { GATEPASS_URL = "", GATEPASS_VERIFIER_KEY = "", PORT = "8080" } = process.env;
const verifier = new Verifier({ url: GATEPASS_URL, key: GATEPASS_VERIFIER_KEY });

createServer(async (call, answer) => {
  const bearer = /^bearer +(.*)$/i.exec(call.headers.authorization ?? "");
  let decision: Decision;
  try {
    decision = await verifier.verify({
      token: bearer?.[1] ?? null,
      method: call.method ?? "",
      path: call.url ?? "",
      address: call.socket.remoteAddress ?? null,
      origin: call.headers.origin ?? null,
      referer: call.headers.referer ?? null,
    });
  } catch (error) {
    // Without a decision nothing is allowed.
    if (!(error instanceof GatepassError)) throw error;
    console.error(error.message);
    answer.writeHead(503).end("no decision\n");
    return;
  }
  if (!decision.allowed) {
    const { reason, needed, help } = decision;
    answer.writeHead(decision.status, { "Content-Type": "application/json" });
    answer.end(JSON.stringify({ reason, needed, help }));
    return;
  }
  answer.end("hello\n");
}).listen(Number(PORT), "127.0.0.1");
